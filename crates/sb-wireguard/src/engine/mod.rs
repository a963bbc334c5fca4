//! WireGuard's decisions, without a socket, a device or a thread.
//!
//! Packets of the local host ([`Engine::on_tun_batch`]), datagrams of the network ([`Engine::on_udp_batch`]), changes
//! ([`Engine::apply`]) and the time ([`Engine::on_timer`]) go in; datagrams come out in an [`Outbox`], packets in an
//! [`Inbox`]. The cryptography and the sessions are those of [`boringtun::noise::Tunn`]; what `Tunn` fixes when it is
//! made or gives up after a while (keepalives, preshared keys, retries) is decided here, so that a change of a peer
//! ends no session.
//!
//! To ensure correctness: [`Moment::boot`] must be CLOCK_BOOTTIME, which `Tunn` reads by itself, and
//! [`Engine::on_timer`] must be called when [`Engine::poll_timeout`] says.

mod apply;
mod ecn;
mod identity;
pub(crate) mod inbox;
mod moment;
mod outbox;
mod packet;
mod peer;
mod routes;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use boringtun::noise::handshake::parse_handshake_anon;
use boringtun::noise::{Packet, Tunn, TunnResult};
use tracing::dispatcher::{Dispatch, with_default};

pub use apply::TooManyPeers;
pub use ecn::Ecn;
pub use inbox::Inbox;
pub use moment::Moment;
pub use outbox::{Outbox, Run};

use ecn::Verdict;
use identity::Identity;
use peer::{Arrival, Peer};
use routes::Routes;

use crate::{ObservedPeer, PrivateKey, PublicKey};

/// How often a peer's clocks are looked at.
const TICK: Duration = Duration::from_millis(250);
/// A cookie message is the longest that the gate answers with.
const COOKIE_BYTES: usize = 64;

type PeerId = usize;

/// A WireGuard interface that only thinks.
pub struct Engine {
    identity: Option<Identity>,
    peers: Vec<Option<Peer>>,
    by_key: HashMap<PublicKey, PeerId>,
    by_index: HashMap<u32, PeerId>,
    routes: Routes<PeerId>,
    mtu_bytes: usize,
    next_tick: Duration,
    rejected: Rejected,
}

/// One datagram as it was received.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// Who sent it, as the network says.
    pub from: SocketAddr,
    /// How the network marked it.
    pub ecn: Ecn,
    /// What is in it.
    pub bytes: &'a [u8],
}

/// How many packets and datagrams went nowhere, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rejected {
    /// Packets of the local host for an address that no peer owns.
    pub unroutable: u64,
    /// Packets for a peer that nobody knows the endpoint of, or while the interface has no key.
    pub unreachable: u64,
    /// Handshakes with a key that is no peer's, or not meant for this interface.
    pub strangers: u64,
    /// Datagrams that are not WireGuard's, or prove nothing: wrong key, replayed, for a session that is gone.
    pub unproven: u64,
    /// Packets of a peer from an address that is not its own.
    pub foreign_source: u64,
}

impl Engine {
    /// An interface without key and peers.
    #[must_use]
    pub fn new(mtu_bytes: u16) -> Self {
        Self {
            identity: None,
            peers: Vec::new(),
            by_key: HashMap::new(),
            by_index: HashMap::new(),
            routes: Routes::default(),
            mtu_bytes: mtu_bytes.into(),
            next_tick: Duration::ZERO,
            rejected: Rejected::default(),
        }
    }

    /// The MTU of the device from now on; it bounds the padding, and nothing else.
    pub fn set_mtu(&mut self, mtu_bytes: u16) {
        self.mtu_bytes = mtu_bytes.into();
    }

    /// Packets of the local host. Each is at the beginning of its buffer and has the size at its place; what is
    /// behind it is written over.
    pub fn on_tun_batch(&mut self, buffers: &mut [Vec<u8>], sizes: &[usize], now: Moment, out: &mut Outbox) {
        for (buffer, size) in buffers.iter_mut().zip(sizes) {
            self.on_packet(buffer, *size, now, out);
        }
    }

    /// Datagrams of the network. Packets that were inside go to the inbox, answers to the outbox.
    pub fn on_udp_batch<'a>(
        &mut self,
        datagrams: impl IntoIterator<Item = Datagram<'a>>,
        now: Moment,
        out: &mut Outbox,
        inbox: &mut Inbox,
    ) {
        for datagram in datagrams {
            self.on_datagram(&datagram, now, out, inbox);
        }
    }

    /// Does what is due.
    pub fn on_timer(&mut self, now: Moment, out: &mut Outbox) {
        if now.boot < self.next_tick {
            return;
        }
        self.next_tick = now.boot + TICK;
        if let Some(identity) = &self.identity {
            identity.gate.reset_count();
        }
        // `Tunn` logs every try at a peer that is away as a warning, and giving up as an error; a state of a peer is told
        // as one, and not every five seconds.
        with_default(&Dispatch::none(), || self.tend_peers(now, out));
    }

    fn tend_peers(&mut self, now: Moment, out: &mut Outbox) {
        for id in 0..self.peers.len() {
            let Some(peer) = &mut self.peers[id] else { continue };
            let before = peer.indexes().count();
            peer.on_timer(now, out);
            if peer.indexes().count() != before {
                self.index(id);
            }
        }
    }

    /// When [`Engine::on_timer`] wants to be called next, on [`Moment::boot`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        (!self.by_key.is_empty()).then_some(self.next_tick)
    }

    /// The interface's own key.
    #[must_use]
    pub fn private_key(&self) -> Option<&PrivateKey> {
        self.identity.as_ref().map(|identity| &identity.private_key)
    }

    /// Its peers, sorted by key.
    #[must_use]
    pub fn observe(&self) -> Vec<ObservedPeer> {
        let mut ids: Vec<_> = self.by_key.iter().collect();
        ids.sort_unstable();
        ids.into_iter().filter_map(|(_, id)| self.observe_peer(*id)).collect()
    }

    /// What went nowhere since the beginning.
    #[must_use]
    pub fn rejected(&self) -> Rejected {
        self.rejected
    }

    fn observe_peer(&self, id: PeerId) -> Option<ObservedPeer> {
        let peer = self.peers.get(id)?.as_ref()?;
        Some(ObservedPeer {
            public_key: peer.public_key,
            preshared_key: peer.preshared_key.clone(),
            endpoint: peer.endpoint,
            keepalive_seconds: peer.keepalive_seconds,
            addresses: self.routes.of(id),
            last_handshake: peer.last_handshake,
            received_bytes: peer.received_bytes,
            sent_bytes: peer.sent_bytes,
        })
    }

    fn on_packet(&mut self, buffer: &mut [u8], size: usize, now: Moment, out: &mut Outbox) {
        let owner = packet::destination(&buffer[..size]).and_then(|address| self.routes.owner(address));
        let Some(peer) = owner.and_then(|id| self.peers.get_mut(id)?.as_mut()) else {
            self.rejected.unroutable += 1;
            return;
        };
        let ecn = Ecn::of_packet(&buffer[..size]);
        let padded = packet::padded_bytes(size, self.mtu_bytes).min(buffer.len());
        buffer[size..padded].fill(0);
        if !peer.send(&buffer[..padded], ecn, now, out) {
            self.rejected.unreachable += 1;
        }
    }

    fn on_datagram(&mut self, datagram: &Datagram<'_>, now: Moment, out: &mut Outbox, inbox: &mut Inbox) {
        let Some(id) = self.addressee(datagram, out) else { return };
        let Some(peer) = &mut self.peers[id] else { return };
        let buffer = inbox.room(datagram.bytes.len());
        match peer.receive(datagram.bytes, datagram.from, now, out, buffer) {
            Arrival::Own => {}
            Arrival::Rejected => self.rejected.unproven += 1,
            Arrival::Packet { bytes, source } => {
                if self.routes.owner(source) != Some(id) {
                    self.rejected.foreign_source += 1;
                } else if datagram.ecn.copy_into(&mut buffer[..bytes]) == Verdict::Keep {
                    inbox.keep(bytes);
                }
            }
        }
    }

    /// The peer that a datagram is from, as far as it can be known before it is opened.
    fn addressee(&mut self, datagram: &Datagram<'_>, out: &mut Outbox) -> Option<PeerId> {
        let identity = self.identity.as_ref()?;
        // Data is most of it, and passes no gate.
        if packet::Kind::of(datagram.bytes) == packet::Kind::Data {
            let parsed = Tunn::parse_incoming_packet(datagram.bytes).ok();
            let receiver = parsed.and_then(|_| packet::sender_index(datagram.bytes));
            let id = receiver.and_then(|receiver| self.by_index.get(&(receiver >> 8)).copied());
            self.rejected.unproven += u64::from(id.is_none());
            return id;
        }
        let mut cookie = [0; COOKIE_BYTES];
        let verified = identity.gate.verify_packet(Some(datagram.from.ip()), datagram.bytes, &mut cookie);
        let id = match verified {
            Ok(Packet::HandshakeInit(initiation)) => {
                let named = parse_handshake_anon(&identity.secret(), &identity.point(), &initiation).ok();
                let key = named.map(|named| PublicKey::from_bytes(named.peer_static_public));
                key.and_then(|key| self.by_key.get(&key).copied())
            }
            Ok(Packet::HandshakeResponse(response)) => {
                self.by_index.get(&(response.receiver_idx >> 8)).copied()
            }
            Ok(Packet::PacketCookieReply(reply)) => self.by_index.get(&(reply.receiver_idx >> 8)).copied(),
            Ok(Packet::PacketData(_)) => None,
            Err(TunnResult::WriteToNetwork(cookie)) => {
                out.write(datagram.from, Ecn::default(), cookie.len(), |room| {
                    room[..cookie.len()].copy_from_slice(cookie);
                    Some(cookie.len())
                });
                return None;
            }
            Err(_) => None,
        };
        self.rejected.strangers += u64::from(id.is_none());
        id
    }

    /// Writes the receiver indexes of a peer down anew.
    fn index(&mut self, id: PeerId) {
        self.by_index.retain(|_, owner| *owner != id);
        if let Some(peer) = &self.peers[id] {
            self.by_index.extend(peer.indexes().map(|index| (index, id)));
        }
    }
}
