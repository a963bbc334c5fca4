use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::{PublicKey, TargetPeer};

/// How long a silent peer is looked for at one of its endpoints, in seconds: handshakes are tried every second at first.
pub const TURN_SECONDS: u64 = 15;

/// Looks for silent peers at each of their endpoints in turn. It neither sends nor reads a clock.
#[derive(Debug, Default)]
pub struct Search {
    /// Where a peer is looked for, and since when.
    turns: BTreeMap<PublicKey, (SocketAddr, Instant)>,
}

impl Search {
    /// Puts in front of each peer's endpoints the one at which it is to be looked for `now`: where it was looked for
    /// before, and the next one for a peer in `silent` whose turn there is over.
    pub fn arrange(&mut self, peers: &mut [TargetPeer], silent: &BTreeSet<PublicKey>, now: Instant) {
        for peer in peers {
            let Some(first) = peer.endpoints.first() else { continue };
            let (place, since) = self.turns.entry(peer.public_key).or_insert((*first, now));
            let waited = now.saturating_duration_since(*since) >= Duration::from_secs(TURN_SECONDS);
            let in_vain = waited && silent.contains(&peer.public_key);
            let at = match peer.endpoints.iter().position(|endpoint| endpoint == place) {
                Some(at) if in_vain => (at + 1) % peer.endpoints.len(),
                Some(at) => at,
                // The documents or the answer to its name have changed.
                None => 0,
            };
            if peer.endpoints[at] != *place || in_vain {
                (*place, *since) = (peer.endpoints[at], now);
            }
            peer.endpoints.rotate_left(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(endpoints: &[SocketAddr]) -> TargetPeer {
        TargetPeer {
            public_key: PublicKey::from_bytes([1; 32]),
            preshared_key: None,
            endpoints: endpoints.to_vec(),
            keepalive_seconds: 25,
            addresses: Vec::new(),
        }
    }

    fn endpoint(host: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, host], 51820))
    }

    #[test]
    fn a_silent_peer_is_looked_for_at_each_of_its_endpoints_in_turn() {
        let (mut search, begun) = (Search::default(), Instant::now());
        let silent = BTreeSet::from([PublicKey::from_bytes([1; 32])]);
        let places = [endpoint(1), endpoint(2), endpoint(3)];
        let mut first_at = |seconds: u64, silent: &BTreeSet<PublicKey>| {
            let mut peers = [peer(&places)];
            search.arrange(&mut peers, silent, begun + Duration::from_secs(seconds));
            assert_eq!(peers[0].endpoints.len(), places.len(), "none is lost");
            peers[0].endpoints[0]
        };
        assert_eq!(first_at(0, &silent), places[0]);
        assert_eq!(first_at(TURN_SECONDS - 1, &silent), places[0]);
        assert_eq!(first_at(TURN_SECONDS, &silent), places[1]);
        assert_eq!(first_at(2 * TURN_SECONDS, &silent), places[2]);
        assert_eq!(first_at(3 * TURN_SECONDS, &silent), places[0], "after the last comes the first");
        assert_eq!(first_at(9 * TURN_SECONDS, &BTreeSet::new()), places[0], "it is heard there");
        assert_eq!(
            first_at(9 * TURN_SECONDS + 1, &silent),
            places[1],
            "it has been silent there for long enough"
        );
    }

    #[test]
    fn an_endpoint_that_is_no_more_is_left_for_the_first() {
        let (mut search, now) = (Search::default(), Instant::now());
        let silent = BTreeSet::from([PublicKey::from_bytes([1; 32])]);
        search.arrange(&mut [peer(&[endpoint(1)])], &silent, now);
        let mut moved = [peer(&[endpoint(7), endpoint(8)])];
        search.arrange(&mut moved, &silent, now + Duration::from_secs(TURN_SECONDS));
        assert_eq!(moved[0].endpoints, [endpoint(7), endpoint(8)]);
        search.arrange(&mut [peer(&[])], &silent, now);
    }
}
