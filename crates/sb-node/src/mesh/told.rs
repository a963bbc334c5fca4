//! The interface as the API tells it.

use std::time::Duration;

use sb_api::{MeshPeer, MeshPeerState, MeshStatus};
use sb_topology::ServerName;
use sb_wireguard::relay::{Pair, RelayPlan};
use sb_wireguard::{DesiredInterface, DesiredPeer, ObservedInterface, PublicKey, is_fresh};

use super::health::{Finding, Findings};
use super::upkeep::{Age, Look};

/// What is told of an interface after a look at it. No secret is in it.
pub(super) fn told(
    desired: &DesiredInterface,
    relays: &RelayPlan,
    look: &Look,
    public_key: PublicKey,
    findings: &Findings,
) -> MeshStatus {
    let Look { observed, differences, now, kind, age, .. } = look;
    let via = |wanted: &DesiredPeer| relays.via(&Pair::new(&desired.server, &wanted.name));
    let peer = |wanted: &DesiredPeer| peer(wanted, observed, *now, (via(wanted), findings.get(&wanted.name)));
    let mut peers: Vec<_> = desired.peers.iter().map(peer).collect();
    // What is wanted since this very look is none.
    let differences = if *age == Age::Changed { &[] } else { differences.as_slice() };
    // While a server's key is being replaced it is two peers: the one with the addresses first.
    peers.sort_by(|a, b| a.name.cmp(&b.name).then(b.addresses.len().cmp(&a.addresses.len())));
    MeshStatus {
        interface: desired.name.clone(),
        kind: (*kind).to_owned(),
        address: desired.address.address().to_string(),
        public_key: public_key.to_string(),
        listen_port: observed.listen_port,
        mtu: desired.mtu,
        peers,
        without_key: desired.without_key.iter().map(ToString::to_string).collect(),
        differences: differences.iter().map(ToString::to_string).collect(),
    }
}

fn peer(
    wanted: &DesiredPeer,
    observed: &ObservedInterface,
    now: Duration,
    (via, found): (Option<&ServerName>, Option<&Finding>),
) -> MeshPeer {
    let seen = observed.peer(&wanted.public_key);
    let clock = found.and_then(|found| found.clock);
    let handshake = seen.and_then(|peer| peer.last_handshake);
    let state = match handshake {
        None => MeshPeerState::Never,
        Some(_) if is_fresh(handshake, now) => MeshPeerState::Up,
        Some(_) => MeshPeerState::Silent,
    };
    MeshPeer {
        name: wanted.name.to_string(),
        state,
        public_key: wanted.public_key.to_string(),
        wanted_endpoints: wanted.endpoints.iter().map(ToString::to_string).collect(),
        endpoint: seen.and_then(|peer| peer.endpoint).map(|endpoint| endpoint.to_string()),
        via: via.map(ToString::to_string),
        addresses: seen
            .map(|peer| peer.addresses.iter().map(ToString::to_string).collect())
            .unwrap_or_default(),
        keepalive_seconds: seen.map_or(0, |peer| peer.keepalive_seconds),
        handshake_age_seconds: handshake.map(|at| now.saturating_sub(at).as_secs()),
        received_bytes: seen.map_or(0, |peer| peer.received_bytes),
        sent_bytes: seen.map_or(0, |peer| peer.sent_bytes),
        round_trip_us: found.and_then(|found| found.round_trip).map(micros),
        last_round_trip_us: found.and_then(|found| found.last_round_trip).map(micros),
        loss_percent: found.and_then(|found| found.loss_percent),
        full_size: found.and_then(Finding::full_size),
        mtu: found.map(|found| found.size),
        mtu_passes: found.and_then(Finding::passes_both_ways),
        clock_offset_us: clock.map(|clock| clock.micros),
        clock_uncertainty_us: clock.map(|clock| clock.uncertainty_us),
        preshared: None,
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
