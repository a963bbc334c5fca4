use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use sb_topology::ServerName;
use sb_wireguard::{DesiredInterface, DesiredPeer, ObservedInterface, ObservedPeer, is_fresh};

use super::circle::Circle;
use super::direct::{Handshake, Session, Way};

/// What the interface says of the direct session with each other server, look by look.
#[derive(Debug, Clone, Default)]
pub(in crate::mesh) struct Sessions {
    of: BTreeMap<ServerName, Session>,
    received_bytes: BTreeMap<ServerName, u64>,
    /// Through whom those are reached that are not reached directly.
    carriers: BTreeMap<ServerName, ServerName>,
}

/// What one look at the interface found.
#[derive(Debug, Clone, Copy)]
pub(in crate::mesh) struct Seen<'a> {
    /// The interface as it is wanted, with relays and keys that are being replaced.
    pub(in crate::mesh) wanted: &'a DesiredInterface,
    /// The interface as it was.
    pub(in crate::mesh) observed: &'a ObservedInterface,
    /// The wall clock, since the Unix epoch: WireGuard dates handshakes by it.
    pub(in crate::mesh) wall: Duration,
    /// The time of the look.
    pub(in crate::mesh) at: Instant,
}

impl Sessions {
    /// Takes what a look found of the others in the circle.
    pub(in crate::mesh) fn note(&mut self, circle: &Circle, seen: Seen<'_>) {
        let (before, carriers) = (std::mem::take(&mut self.of), std::mem::take(&mut self.carriers));
        for (server, address) in &circle.servers {
            let Some(owner) = seen.owner(*address) else { continue };
            let carrier = Some(owner).filter(|owner| *owner != server);
            self.carriers.extend(carrier.map(|carrier| (server.clone(), carrier.clone())));
            let way = if carrier.is_none() { Way::Direct } else { Way::Carried };
            let known = before.get(server);
            // Another carrier is another way, of which nothing is known yet.
            let same = |known: &&Session| known.way == way && carriers.get(server) == carrier;
            let since = known.filter(same).map_or(seen.at, |known| known.since);
            let received = match self.has_grown(server, seen) {
                true => Some(seen.at),
                false => known.and_then(|known| known.received),
            };
            let (handshake, keepalive) = (seen.handshake(server), seen.keepalive(server));
            self.of.insert(server.clone(), Session { way, since, handshake, received, keepalive });
        }
    }

    /// The session with a server; [`None`] while no peer has its address.
    pub(super) fn with(&self, server: &ServerName) -> Option<&Session> {
        self.of.get(server)
    }

    /// Who carries the packets to a server; [`None`] while they go directly.
    pub(super) fn carrier(&self, server: &ServerName) -> Option<&ServerName> {
        self.carriers.get(server)
    }

    /// Whether something has come from the server itself since the look before. The first look tells nothing.
    fn has_grown(&mut self, server: &ServerName, seen: Seen<'_>) -> bool {
        let bytes = seen.observed_peers(server).map(|peer| peer.received_bytes).sum();
        self.received_bytes.insert(server.clone(), bytes).is_some_and(|before| bytes > before)
    }
}

impl<'a> Seen<'a> {
    /// Behind whose peer an address is: its server's own, or that of another, which carries the packets.
    fn owner(&self, address: IpAddr) -> Option<&'a ServerName> {
        let has = |peer: &&DesiredPeer| peer.addresses.iter().any(|range| range.contains(address));
        Some(&self.wanted.peers.iter().find(has)?.name)
    }

    /// More than one while the server's key is being replaced.
    fn wanted_peers(self, server: &'a ServerName) -> impl Iterator<Item = &'a DesiredPeer> {
        self.wanted.peers.iter().filter(move |peer| peer.name == *server)
    }

    fn observed_peers(self, server: &'a ServerName) -> impl Iterator<Item = &'a ObservedPeer> {
        self.wanted_peers(server).filter_map(move |peer| self.observed.peer(&peer.public_key))
    }

    fn handshake(self, server: &ServerName) -> Handshake {
        let is_fresh = |peer: &ObservedPeer| is_fresh(peer.last_handshake, self.wall);
        if self.observed_peers(server).any(is_fresh) { Handshake::Fresh } else { Handshake::Old }
    }

    /// All servers keep NATs open at one pace: what this one sends is what it may expect.
    fn keepalive(self, server: &ServerName) -> Option<Duration> {
        let seconds = self.wanted_peers(server).map(|peer| peer.keepalive_seconds).max()?;
        (seconds > 0).then(|| Duration::from_secs(seconds.into()))
    }
}

#[cfg(test)]
mod tests {
    use sb_wireguard::{PeerKind, PublicKey};

    use super::*;

    fn key(byte: u8) -> PublicKey {
        PublicKey::from_bytes([byte; 32])
    }

    fn peer(name: &str, byte: u8) -> DesiredPeer {
        DesiredPeer {
            name: name.parse().unwrap(),
            kind: PeerKind::Server,
            public_key: key(byte),
            preshared_key: None,
            endpoints: Vec::new(),
            keepalive_seconds: 25,
            addresses: vec![format!("10.0.{byte}.1/32").parse().unwrap()],
        }
    }

    fn direct() -> DesiredInterface {
        DesiredInterface {
            server: "ravena-1".parse().unwrap(),
            name: "sb0".into(),
            mtu: 1420,
            listen_port: 51820,
            address: "10.0.9.1/32".parse().unwrap(),
            peers: vec![peer("burlington-1", 1), peer("tucson-1", 2), peer("nantucket-1", 3)],
            without_key: Vec::new(),
        }
    }

    fn observed(received_bytes: u64) -> ObservedInterface {
        let last_handshake = Some(Duration::from_secs(1_000));
        let tucson = ObservedPeer { received_bytes, last_handshake, ..ObservedPeer::new(key(2)) };
        ObservedInterface { peers: vec![tucson], ..ObservedInterface::default() }
    }

    #[test]
    fn a_way_is_as_old_as_its_last_change_and_bytes_as_their_last_growth() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let direct = direct();
        let mut carried = direct.clone();
        let moved = std::mem::take(&mut carried.peers[1].addresses);
        carried.peers[0].addresses.extend(moved.clone());
        let mut elsewhere = carried.clone();
        elsewhere.peers[0].addresses.truncate(1);
        elsewhere.peers[2].addresses.extend(moved);
        let tucson: ServerName = "tucson-1".parse().unwrap();
        let circle = Circle::of(&direct);
        let mut sessions = Sessions::default();
        let steps = [
            (&direct, 500, (Way::Direct, 0, None)),
            (&direct, 600, (Way::Direct, 0, Some(1))),
            (&carried, 600, (Way::Carried, 2, Some(1))),
            (&carried, 632, (Way::Carried, 2, Some(3))),
            (&elsewhere, 632, (Way::Carried, 4, Some(3))),
            (&elsewhere, 632, (Way::Carried, 4, Some(3))),
        ];
        for (second, (wanted, bytes, (way, since, received))) in (0..).zip(steps) {
            let (observed, wall) = (observed(bytes), Duration::from_secs(1_001));
            sessions.note(&circle, Seen { wanted, observed: &observed, wall, at: after(second) });
            let (keepalive, handshake) = (Some(Duration::from_secs(25)), Handshake::Fresh);
            let expected =
                Session { way, since: after(since), handshake, received: received.map(after), keepalive };
            assert_eq!(sessions.with(&tucson), Some(&expected));
        }
        assert_eq!(sessions.carrier(&tucson).map(ServerName::as_str), Some("nantucket-1"));
    }
}
