//! How this server finds its direct sessions.

use std::collections::BTreeMap;
use std::time::Instant;

use sb_api::{MeshRelay, MeshSight};
use sb_topology::ServerName;
use sb_wireguard::relay::SightState;

use super::exchange::milliseconds;

/// How this server finds its direct session with each other server, and since when.
#[derive(Debug, Clone, Default)]
pub struct Sights {
    of: BTreeMap<ServerName, (SightState, Instant)>,
    /// Through whom others are reached, and when something was answered last that went this way.
    relays: BTreeMap<ServerName, (ServerName, Instant)>,
}

impl Sights {
    /// Notes how `peer` is found `now`; whether that is news. Nothing changes while it is found as before.
    pub(super) fn note(&mut self, peer: &ServerName, state: SightState, now: Instant) -> bool {
        let is_news = self.of.get(peer).is_none_or(|(known, _)| *known != state);
        if is_news {
            self.of.insert(peer.clone(), (state, now));
        }
        is_news
    }

    /// Notes who is reached through whom, and when something came through last.
    pub(super) fn note_relays(&mut self, relays: BTreeMap<ServerName, (ServerName, Instant)>) {
        self.relays = relays;
    }

    /// How the ways through others are, as it is told to the other servers.
    pub(super) fn told_relays(&self, now: Instant) -> Vec<MeshRelay> {
        let relay = |(peer, (via, heard)): (&ServerName, &(ServerName, Instant))| MeshRelay {
            peer: peer.to_string(),
            via: via.to_string(),
            silent_ms: milliseconds(now.saturating_duration_since(*heard)),
        };
        self.relays.iter().map(relay).collect()
    }

    /// As it is told to the other servers.
    pub(super) fn told(&self, now: Instant) -> Vec<MeshSight> {
        let sight = |(peer, (state, since)): (&ServerName, &(SightState, Instant))| MeshSight {
            peer: peer.to_string(),
            up: *state == SightState::Up,
            for_ms: milliseconds(now.saturating_duration_since(*since)),
        };
        self.of.iter().map(sight).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_state_is_as_old_as_its_last_change() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let peer: ServerName = "tucson-1".parse().unwrap();
        let mut sights = Sights::default();
        sights.note(&peer, SightState::Up, begun);
        sights.note(&peer, SightState::Up, after(5));
        assert_eq!(sights.told(after(7))[0].for_ms, 7_000);
        sights.note(&peer, SightState::Down, after(8));
        let told = sights.told(after(10));
        assert_eq!((told[0].up, told[0].for_ms), (false, 2_000));
    }
}
