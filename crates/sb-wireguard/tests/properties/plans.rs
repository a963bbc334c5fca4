use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sb_wireguard::{
    AllowedIp, Change, ObservedInterface, ObservedPeer, PrivateKey, PublicKey, Target, TargetPeer, diff, plan,
};

use crate::generated::{endpoint, preshared_key, public_key};
use crate::model::apply;

const NOW: Duration = Duration::from_secs(1_800_000_000);

/// Few ranges, so that they meet: servers' own, a site's, and everything.
fn close_range() -> impl Strategy<Value = AllowedIp> {
    prop::sample::select(vec![
        "10.0.0.1/32",
        "10.0.0.2/32",
        "10.0.0.3/32",
        "10.0.0.4/32",
        "10.0.1.1/32",
        "10.0.0.0/24",
        "10.0.1.0/24",
        "fd00::1/128",
        "fd00::2/128",
        "fd00::/64",
        "0.0.0.0/0",
    ])
    .prop_map(|text| text.parse().expect("a range"))
}

/// An interface as WireGuard keeps it: a range belongs to one peer, overlapping ones may belong to several.
fn found() -> impl Strategy<Value = ObservedInterface> {
    let handshake = option::of(0..400u64);
    let settings = (preshared_key(), option::of(endpoint()), 0..3u16, handshake);
    let peer = (public_key(), settings, vec(close_range(), 0..4));
    (vec(peer, 0..6), any::<u16>(), 0..2u32).prop_map(|(peers, listen_port, firewall_mark)| {
        let mut interface =
            ObservedInterface { private_key: None, listen_port, firewall_mark, peers: Vec::new() };
        for (key, (preshared_key, endpoint, keepalive_seconds, age), addresses) in peers {
            let more = addresses.clone();
            let mut change = sb_wireguard::PeerChange::new(key, sb_wireguard::PeerScope::MadeIfMissing);
            change.addresses = Some(sb_wireguard::AddressesChange::Alter { more, less: Vec::new() });
            apply(&mut interface, &Change::Peer(change));
            let there = interface.peers.iter_mut().find(|peer| peer.public_key == key);
            let there = there.expect("it was just made");
            let last_handshake = age.map(|age| NOW.saturating_sub(Duration::from_secs(age)));
            let addresses = std::mem::take(&mut there.addresses);
            *there = sb_wireguard::ObservedPeer {
                preshared_key,
                endpoint,
                keepalive_seconds,
                last_handshake,
                addresses,
                ..ObservedPeer::new(key)
            };
        }
        interface
    })
}

/// A target that an interface can be.
fn target() -> impl Strategy<Value = Target> {
    let peer = (public_key(), preshared_key(), vec(endpoint(), 0..3), 0..3u16, vec(close_range(), 0..3));
    (vec(peer, 0..6), any::<u16>(), 0..2u32).prop_map(|(peers, listen_port, firewall_mark)| {
        let mut target = Target {
            generation: 7,
            private_key: PrivateKey::from_bytes([77; 32]),
            listen_port,
            firewall_mark,
            peers: Vec::new(),
        };
        let mut given: Vec<AllowedIp> = Vec::new();
        for (public_key, preshared_key, endpoints, keepalive_seconds, mut addresses) in peers {
            addresses.retain(|range| {
                let free = given.iter().all(|other| !other.overlaps(*range));
                given.extend(free.then_some(*range));
                free
            });
            if target.peer(&public_key).is_none() {
                let peer = TargetPeer { public_key, preshared_key, endpoints, keepalive_seconds, addresses };
                target.peers.push(peer);
            }
        }
        target
    })
}

/// Pairs of ranges of different peers that overlap.
fn shared(interface: &ObservedInterface) -> Vec<(PublicKey, AllowedIp, PublicKey, AllowedIp)> {
    let owned: Vec<_> = interface
        .peers
        .iter()
        .flat_map(|peer| peer.addresses.iter().map(move |range| (peer.public_key, *range)))
        .collect();
    let pairs = owned.iter().flat_map(|one| owned.iter().map(move |other| (one, other)));
    let both = pairs.filter(|(one, other)| one.0 < other.0 && one.1.overlaps(other.1));
    both.map(|(one, other)| (one.0, one.1, other.0, other.1)).collect()
}

fn has(interface: &ObservedInterface, range: AllowedIp) -> bool {
    interface.peers.iter().any(|peer| peer.addresses.contains(&range))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn applying_a_plan_reaches_the_target(target in target(), found in found()) {
        let plan = plan(&target, &found, NOW).unwrap();
        let mut interface = found;
        plan.changes.iter().for_each(|change| apply(&mut interface, change));
        prop_assert_eq!(diff(&target, &interface, NOW), []);
        prop_assert_eq!(plan.generation, 7);
    }

    #[test]
    fn a_second_plan_is_empty(target in target(), found in found()) {
        let first = plan(&target, &found, NOW).unwrap();
        let mut interface = found;
        first.changes.iter().for_each(|change| apply(&mut interface, change));
        prop_assert!(plan(&target, &interface, NOW).unwrap().changes.is_empty());
    }

    #[test]
    fn no_step_gives_an_address_a_second_owner(target in target(), found in found()) {
        let plan = plan(&target, &found, NOW).unwrap();
        let mut interface = found;
        for change in &plan.changes {
            let before = shared(&interface);
            apply(&mut interface, change);
            // What somebody's hand has made of it may last until its turn comes; nothing is added to it.
            let added: Vec<_> = shared(&interface).into_iter().filter(|pair| !before.contains(pair)).collect();
            prop_assert!(added.is_empty(), "{change:?}: {added:?}");
        }
        prop_assert!(shared(&interface).is_empty());
    }

    #[test]
    fn an_address_that_moves_has_an_owner_at_every_step(target in target(), found in found()) {
        let plan = plan(&target, &found, NOW).unwrap();
        let ranges = target.peers.iter().flat_map(|peer| peer.addresses.clone());
        let moving: Vec<_> = ranges.filter(|range| has(&found, *range)).collect();
        let mut interface = found;
        for change in &plan.changes {
            apply(&mut interface, change);
            for range in &moving {
                prop_assert!(has(&interface, *range), "{change:?}: {range}");
            }
        }
    }

    #[test]
    fn a_peer_that_stays_is_not_taken_away_nor_sent_elsewhere_while_it_is_heard(
        target in target(), found in found(),
    ) {
        let plan = plan(&target, &found, NOW).unwrap();
        let mut interface = found.clone();
        plan.changes.iter().for_each(|change| apply(&mut interface, change));
        for change in &plan.changes {
            prop_assert!(!matches!(change, Change::RemoveAllPeers));
            if let Change::RemovePeer(key) = change {
                prop_assert!(target.peer(key).is_none());
            }
        }
        for peer in found.peers.iter().filter(|peer| target.peer(&peer.public_key).is_some()) {
            let after = interface.peer(&peer.public_key).unwrap();
            prop_assert_eq!(after.last_handshake, peer.last_handshake);
            let age = peer.last_handshake.map(|last| (NOW - last).as_secs());
            if peer.endpoint.is_some() && age.is_some_and(|age| age <= 135) {
                prop_assert_eq!(after.endpoint, peer.endpoint);
            }
        }
    }
}
