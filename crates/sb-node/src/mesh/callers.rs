//! Where the machines that call were heard last, over a restart of the agent.
//!
//! An operator's machine calls and is not called, so no document says where it is. In user space the interface forgets it with
//! the agent, and the machine's own WireGuard doubts its session only after 15 s (the whitepaper's `KEEPALIVE_TIMEOUT` +
//! `REKEY_TIMEOUT`). So a new interface gets the place at which the machine was heard last, and calls it once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sb_wireguard::{DesiredInterface, ObservedInterface, PublicKey, is_fresh};

use crate::persisted;

/// The places, by public key as text.
type Places = BTreeMap<String, SocketAddr>;

/// What is remembered of the peers that call.
#[derive(Debug, Default)]
pub(super) struct Callers {
    /// [`None`] where nothing is kept over a restart.
    file: Option<PathBuf>,
    places: Places,
}

impl Callers {
    /// Reads what an earlier run has kept. What cannot be read is not known: those machines call by themselves.
    pub(super) fn open(file: PathBuf) -> Self {
        let places = persisted::read::<Places>(&file).ok().flatten().unwrap_or_default();
        Self { file: Some(file), places }
    }

    /// Where a peer was heard last.
    pub(super) fn place_of(&self, peer: &PublicKey) -> Option<SocketAddr> {
        self.places.get(&peer.to_string()).copied()
    }

    /// Whether anybody's place is known.
    pub(super) fn know_any(&self) -> bool {
        !self.places.is_empty()
    }

    /// Notes where those are that call and are heard at wall clock time `now`, and forgets those that are no peers any more.
    /// The file is written when a place has changed; it blocks.
    pub(super) fn note(&mut self, desired: &DesiredInterface, observed: &ObservedInterface, now: Duration) {
        let callers = desired.peers.iter().filter(|peer| peer.endpoints.is_empty());
        let places = callers.filter_map(|caller| {
            let heard = observed.peer(&caller.public_key).filter(|peer| is_fresh(peer.last_handshake, now));
            let place = heard.and_then(|peer| peer.endpoint).or_else(|| self.place_of(&caller.public_key));
            Some((caller.public_key.to_string(), place?))
        });
        let places = places.collect();
        if self.places == places {
            return;
        }
        self.places = places;
        let written = self.file.as_ref().map(|file| persisted::replace(file, &self.places));
        if let Some(Err(error)) = written {
            tracing::debug!(%error, "where operators are is not remembered");
        }
    }
}

#[cfg(test)]
mod tests {
    use sb_wireguard::{DesiredPeer, ObservedPeer, PeerKind};

    use super::*;

    const DESK: PublicKey = PublicKey::from_bytes([1; 32]);

    fn desired(callers: &[PublicKey]) -> DesiredInterface {
        let peer = |key: &PublicKey| DesiredPeer {
            name: "desk".parse().unwrap(),
            kind: PeerKind::Operator,
            public_key: *key,
            preshared_key: None,
            endpoints: Vec::new(),
            keepalive_seconds: 0,
            addresses: Vec::new(),
        };
        DesiredInterface {
            server: "ravena-1".parse().unwrap(),
            name: "sb0".into(),
            mtu: 1420,
            listen_port: 51820,
            address: "10.0.1.1/32".parse().unwrap(),
            peers: callers.iter().map(peer).collect(),
            without_key: Vec::new(),
        }
    }

    #[test]
    fn the_last_place_is_kept_over_a_restart_and_forgotten_with_the_peer() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Callers::open(directory.path().join("callers.json"));
        let place: SocketAddr = "192.0.2.7:4000".parse().unwrap();
        let (now, long_after) = (Duration::from_secs(1_000), Duration::from_secs(9_000));
        let peer =
            ObservedPeer { endpoint: Some(place), last_handshake: Some(now), ..ObservedPeer::new(DESK) };
        let heard = ObservedInterface { peers: vec![peer], ..ObservedInterface::default() };
        let (with, without) = (desired(&[DESK]), desired(&[]));

        open().note(&with, &heard, long_after);
        assert_eq!(open().place_of(&DESK), None, "it has not been heard for long");
        open().note(&with, &heard, now);
        assert_eq!(open().place_of(&DESK), Some(place));
        open().note(&with, &ObservedInterface::default(), long_after);
        assert_eq!(open().place_of(&DESK), Some(place), "a new interface has not heard anybody");
        open().note(&without, &heard, now);
        assert!(!open().know_any());
    }
}
