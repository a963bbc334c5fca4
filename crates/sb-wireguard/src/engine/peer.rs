use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use boringtun::noise::errors::WireGuardError;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::PublicKey as Point;

use super::identity::Identity;
use super::packet::{self, DATA_OVERHEAD_BYTES, Kind};
use super::{Ecn, Moment, Outbox};
use crate::{PresharedKey, PublicKey};

/// A session this old is renewed by its initiator (WireGuard's paper, section 6.1).
const REKEY_AFTER: Duration = Duration::from_secs(120);
/// A session this old is renewed by either side, before it ends at 180 s.
const REKEY_BY_EITHER_AFTER: Duration = Duration::from_secs(165);
/// So long after the last packet for a peer a handshake is still worth trying.
const WANTED_AFTER_DATA: Duration = Duration::from_secs(180);
/// A peer that keeps a tunnel open and has no session is asked so often at first: servers that start together ask each
/// other before all of them are there, and the protocol's own repetition (5 s) is long for who waits for a database.
const HURRY_EVERY: Duration = Duration::from_millis(1_000);
/// So many times; then at the protocol's pace.
const HURRIED_TRIES_MAX: u8 = 15;
/// Packets that wait for a handshake; the oldest goes when there is one more.
const WAITING_PACKETS_MAX: usize = 256;
/// Bytes of the longest handshake message.
const HANDSHAKE_BYTES: usize = 148;

/// One peer: what is configured, what is known, and its sessions.
pub(super) struct Peer {
    pub(super) public_key: PublicKey,
    pub(super) preshared_key: Option<PresharedKey>,
    pub(super) endpoint: Option<SocketAddr>,
    pub(super) keepalive_seconds: u16,
    pub(super) last_handshake: Option<Duration>,
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
    /// Takes every new handshake; none while the interface has no key.
    newest: Option<Link>,
    /// Made with the preshared key before; lives as long as its session and the need for it.
    older: Option<Link>,
    session: Option<Session>,
    /// The session that we answered to and that its initiator has not used yet.
    unconfirmed: Option<u32>,
    /// Packets that wait for a session.
    waiting: VecDeque<Vec<u8>>,
    /// When a packet was last sent or taken.
    last_traversal: Option<Duration>,
    last_data_sent: Option<Duration>,
    /// When a handshake was last begun in a hurry, and how often since the last session.
    hurried: Option<Duration>,
    hurried_tries: u8,
    /// Whether a handshake that is under way was begun with a key that is no longer the interface's.
    handshake_is_void: bool,
    /// Whether a handshake is to be begun for the sake of a preshared key that has just been put in force.
    proof_is_wanted: bool,
}

struct Link {
    tunn: Tunn,
    index: u32,
}

#[derive(Debug, Clone, Copy)]
struct Session {
    since: Duration,
    role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Initiator,
    Responder,
}

/// Whether a handshake that is under way is begun again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repetition {
    /// When the protocol says so.
    WhenDue,
    /// Now.
    AtOnce,
}

/// What came of a datagram.
pub(super) enum Arrival {
    /// Of the protocol's own; nothing to pass on.
    Own,
    /// A packet of this many bytes is in the buffer.
    Packet { bytes: usize, source: IpAddr },
    /// It proves nothing.
    Rejected,
}

impl Peer {
    pub(super) fn new(public_key: PublicKey) -> Self {
        Self {
            public_key,
            preshared_key: None,
            endpoint: None,
            keepalive_seconds: 0,
            last_handshake: None,
            received_bytes: 0,
            sent_bytes: 0,
            newest: None,
            older: None,
            session: None,
            unconfirmed: None,
            waiting: VecDeque::new(),
            last_traversal: None,
            last_data_sent: None,
            hurried: None,
            hurried_tries: 0,
            handshake_is_void: false,
            proof_is_wanted: false,
        }
    }

    /// The receiver indexes that lead to it.
    pub(super) fn indexes(&self) -> impl Iterator<Item = u32> {
        self.newest.iter().chain(&self.older).map(|link| link.index)
    }

    /// Takes the interface's key, or another one: sessions made with the one before end.
    pub(super) fn identify(&mut self, identity: Option<&Identity>, index: u32) {
        self.older = None;
        self.session = None;
        self.unconfirmed = None;
        self.waiting.clear();
        self.last_traversal = None;
        self.handshake_is_void = true;
        let Some(identity) = identity.filter(|identity| identity.public_key != self.public_key) else {
            self.newest = None;
            return;
        };
        match &mut self.newest {
            // The same `Tunn` remembers the newest timestamp of the peer, so nothing old is taken again.
            Some(link) => {
                link.tunn.set_static_private(identity.secret(), identity.point(), Some(identity.open()));
            }
            None => self.newest = Some(self.link(identity, index)),
        }
    }

    /// Has all handshakes from now on made with the preshared key in force, and one begun at once, which shows whether the
    /// other end has it too; a live session goes on.
    pub(super) fn stage_preshared_key(&mut self, identity: &Identity, index: u32) {
        let staged = self.link(identity, index);
        let former = self.newest.replace(staged);
        self.unconfirmed = None;
        if let Some(former) = former.filter(Link::has_session) {
            self.older = Some(former);
        }
        self.proof_is_wanted = self.older.is_some() || self.keepalive_seconds > 0;
    }

    /// Has the next keepalive sent at once.
    pub(super) fn hasten_keepalive(&mut self) {
        self.last_traversal = None;
    }

    /// Seals a packet; without a session it waits, and a handshake begins. False when nobody knows where to send it.
    pub(super) fn send(&mut self, packet: &[u8], ecn: Ecn, now: Moment, out: &mut Outbox) -> bool {
        if self.endpoint.is_none() || self.newest.is_none() {
            return false;
        }
        self.last_data_sent = Some(now.boot);
        if !self.seal(packet, ecn, now, out) {
            if self.waiting.len() == WAITING_PACKETS_MAX {
                self.waiting.pop_front();
            }
            self.waiting.push_back(packet.to_vec());
            self.begin_handshake(Repetition::WhenDue, now, out);
        }
        true
    }

    /// Opens a datagram that is for one of its indexes, or an initiation that names its key.
    pub(super) fn receive(
        &mut self,
        datagram: &[u8],
        from: SocketAddr,
        now: Moment,
        out: &mut Outbox,
        buffer: &mut [u8],
    ) -> Arrival {
        match Kind::of(datagram) {
            Kind::Data => self.receive_data(datagram, from, now, out, buffer),
            Kind::Initiation | Kind::Response => self.receive_handshake(datagram, from, now, out),
            Kind::Other => self.receive_cookie(datagram),
        }
    }

    /// Does what is due: repeats and renews handshakes, keeps NATs open, forgets sessions that are too old.
    pub(super) fn on_timer(&mut self, now: Moment, out: &mut Outbox) {
        if self.endpoint.is_none() {
            return;
        }
        let mut wish = self.tend_older(now, out);
        if self.tend_newest(now, out) {
            // Whoever sent these has sent them again, or does not care any more.
            self.waiting.clear();
            wish |= self.is_wanted(now);
        }
        let keepalive_is_due = self.keepalive_is_due(now);
        wish |= keepalive_is_due && (!self.has_session() || self.session_is_old(now));
        wish |= std::mem::take(&mut self.proof_is_wanted);
        if wish {
            self.begin_handshake(Repetition::WhenDue, now, out);
        } else if self.may_hurry(now) {
            self.hurried_tries += 1;
            self.begin_handshake(Repetition::AtOnce, now, out);
        }
        if keepalive_is_due {
            self.seal(&[], Ecn::default(), now, out);
            self.last_traversal = Some(now.boot);
        }
    }

    fn link(&self, identity: &Identity, index: u32) -> Link {
        let tunn = Tunn::new(
            identity.secret(),
            Point::from(*self.public_key.as_bytes()),
            self.preshared_key.as_ref().map(|key| *key.expose_bytes()),
            None,
            index,
            Some(identity.open()),
        );
        Link { tunn, index }
    }

    fn has_session(&self) -> bool {
        self.newest.iter().chain(&self.older).any(Link::has_session)
    }

    fn receive_data(
        &mut self,
        datagram: &[u8],
        from: SocketAddr,
        now: Moment,
        out: &mut Outbox,
        buffer: &mut [u8],
    ) -> Arrival {
        let receiver = packet::sender_index(datagram).unwrap_or(0);
        let Some(link) = addressed(&mut self.newest, &mut self.older, receiver) else {
            return Arrival::Rejected;
        };
        let arrival = match link.tunn.decapsulate(None, datagram, buffer) {
            TunnResult::WriteToTunnelV4(packet, source) => {
                Arrival::Packet { bytes: packet.len(), source: source.into() }
            }
            TunnResult::WriteToTunnelV6(packet, source) => {
                Arrival::Packet { bytes: packet.len(), source: source.into() }
            }
            // An empty one keeps the path open. One that is no IP packet is the peer's own fault, and was its own.
            TunnResult::Done | TunnResult::Err(WireGuardError::InvalidPacket) => Arrival::Own,
            TunnResult::Err(_) | TunnResult::WriteToNetwork(_) => return Arrival::Rejected,
        };
        // `Tunn` takes the length that the header claims, which may be less than the header's own.
        let arrival = match arrival {
            Arrival::Packet { bytes, source } if bytes < packet::header_bytes_min(source) => Arrival::Own,
            arrival => arrival,
        };
        self.count_received(datagram.len(), from, now);
        if self.unconfirmed == Some(receiver) {
            self.unconfirmed = None;
            self.begin_session(Role::Responder, now);
            self.send_waiting(now, out);
        }
        arrival
    }

    fn receive_handshake(
        &mut self,
        datagram: &[u8],
        from: SocketAddr,
        now: Moment,
        out: &mut Outbox,
    ) -> Arrival {
        // An answer for the older link was made with a preshared key that is no longer in force.
        let Some(link) = &mut self.newest else { return Arrival::Rejected };
        let mut reply = [0; HANDSHAKE_BYTES];
        let TunnResult::WriteToNetwork(reply) = link.tunn.decapsulate(Some(from.ip()), datagram, &mut reply)
        else {
            return Arrival::Rejected;
        };
        self.count_received(datagram.len(), from, now);
        let sent = out.write(from, Ecn::default(), reply.len(), |room| {
            room[..reply.len()].copy_from_slice(reply);
            Some(reply.len())
        });
        self.count_sent(sent, now);
        match Kind::of(datagram) {
            Kind::Initiation => self.unconfirmed = packet::sender_index(reply),
            _ => {
                self.begin_session(Role::Initiator, now);
                self.send_waiting(now, out);
            }
        }
        Arrival::Own
    }

    /// A cookie proves nothing about where the peer is.
    fn receive_cookie(&mut self, datagram: &[u8]) -> Arrival {
        let Some(link) = &mut self.newest else { return Arrival::Rejected };
        match link.tunn.decapsulate(None, datagram, &mut [0; HANDSHAKE_BYTES]) {
            TunnResult::Done => Arrival::Own,
            _ => Arrival::Rejected,
        }
    }

    fn begin_session(&mut self, role: Role, now: Moment) {
        self.session = Some(Session { since: now.boot, role });
        self.last_handshake = Some(now.wall);
        self.hurried_tries = 0;
    }

    fn send_waiting(&mut self, now: Moment, out: &mut Outbox) {
        for packet in std::mem::take(&mut self.waiting) {
            self.seal(&packet, Ecn::of_packet(&packet), now, out);
        }
    }

    /// False when there is no session.
    fn seal(&mut self, packet: &[u8], ecn: Ecn, now: Moment, out: &mut Outbox) -> bool {
        let (Some(to), Some(link)) = (self.endpoint, sending(&mut self.newest, &mut self.older)) else {
            return false;
        };
        let written = out.write(to, ecn, packet.len() + DATA_OVERHEAD_BYTES, |room| {
            written(&link.tunn.encapsulate(packet, room))
        });
        self.count_sent(written, now);
        true
    }

    /// Whether it wants a handshake, which is the newest link's to begin.
    fn tend_older(&mut self, now: Moment, out: &mut Outbox) -> bool {
        let (Some(to), Some(older)) = (self.endpoint, &mut self.older) else { return false };
        let mut wish = false;
        let sent =
            out.write(to, Ecn::default(), DATA_OVERHEAD_BYTES, |room| match older.tunn.update_timers(room) {
                TunnResult::WriteToNetwork(message) if Kind::of(message) == Kind::Initiation => {
                    wish = true;
                    None
                }
                result => written(&result),
            });
        if !older.has_session() {
            self.older = None;
        }
        self.count_sent(sent, now);
        wish
    }

    /// Whether `Tunn` has given the handshake up.
    fn tend_newest(&mut self, now: Moment, out: &mut Outbox) -> bool {
        let (Some(to), Some(link)) = (self.endpoint, &mut self.newest) else { return false };
        let sent =
            out.write(to, Ecn::default(), HANDSHAKE_BYTES, |room| written(&link.tunn.update_timers(room)));
        let expired = link.tunn.is_expired();
        self.count_sent(sent, now);
        expired
    }

    fn may_hurry(&self, now: Moment) -> bool {
        let waited = |at: Duration| now.boot.saturating_sub(at) >= HURRY_EVERY;
        let may = self.keepalive_seconds > 0 && self.hurried_tries < HURRIED_TRIES_MAX;
        may && !self.has_session() && self.hurried.is_some_and(waited)
    }

    fn begin_handshake(&mut self, repetition: Repetition, now: Moment, out: &mut Outbox) {
        self.hurried = Some(now.boot);
        let (Some(to), Some(link)) = (self.endpoint, &mut self.newest) else { return };
        let anew = std::mem::take(&mut self.handshake_is_void) || repetition == Repetition::AtOnce;
        let sent = out.write(to, Ecn::default(), HANDSHAKE_BYTES, |room| {
            written(&link.tunn.format_handshake_initiation(room, anew))
        });
        self.count_sent(sent, now);
    }

    fn is_wanted(&self, now: Moment) -> bool {
        let lately = |at: Duration| now.boot.saturating_sub(at) < WANTED_AFTER_DATA;
        self.keepalive_seconds > 0 || self.last_data_sent.is_some_and(lately)
    }

    fn keepalive_is_due(&self, now: Moment) -> bool {
        let interval = Duration::from_secs(self.keepalive_seconds.into());
        let silent = |at: Duration| now.boot.saturating_sub(at) >= interval;
        !interval.is_zero() && self.newest.is_some() && self.last_traversal.is_none_or(silent)
    }

    /// `Tunn` renews a session in time when data is sent; where there are only keepalives it is done here.
    fn session_is_old(&self, now: Moment) -> bool {
        self.session.is_some_and(|session| {
            let age = now.boot.saturating_sub(session.since);
            age >= if session.role == Role::Initiator { REKEY_AFTER } else { REKEY_BY_EITHER_AFTER }
        })
    }

    fn count_sent(&mut self, bytes: Option<usize>, now: Moment) {
        let Some(bytes) = bytes else { return };
        self.sent_bytes += bytes as u64;
        self.last_traversal = Some(now.boot);
    }

    /// Only what is authentic comes here, so this is where a peer may move to.
    fn count_received(&mut self, bytes: usize, from: SocketAddr, now: Moment) {
        self.received_bytes += bytes as u64;
        self.last_traversal = Some(now.boot);
        self.endpoint = Some(from);
    }
}

impl Link {
    fn has_session(&self) -> bool {
        self.tunn.time_since_last_handshake().is_some()
    }
}

fn written(result: &TunnResult<'_>) -> Option<usize> {
    match result {
        TunnResult::WriteToNetwork(message) => Some(message.len()),
        _ => None,
    }
}

/// The newest link with a session.
fn sending<'a>(newest: &'a mut Option<Link>, older: &'a mut Option<Link>) -> Option<&'a mut Link> {
    newest.iter_mut().chain(older).find(|link| link.has_session())
}

fn addressed<'a>(
    newest: &'a mut Option<Link>,
    older: &'a mut Option<Link>,
    receiver: u32,
) -> Option<&'a mut Link> {
    newest.iter_mut().chain(older).find(|link| link.index == receiver >> 8)
}
