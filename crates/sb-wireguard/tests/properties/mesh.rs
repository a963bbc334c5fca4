use std::collections::BTreeMap;
use std::fmt::Write;

use proptest::collection::vec;
use proptest::prelude::*;
use sb_topology::{Documents, NetworkSettings, ServerName, Topology};
use sb_wireguard::lint::lint;
use sb_wireguard::relay::{Matrix, Pair, RelayPlan, Sight, SightState};
use sb_wireguard::{DesiredInterface, Keyring, PrivateKey, PublicKey};

/// A cluster of sites with so many servers each, and every server's key.
fn cluster(sizes: &[u8]) -> (Topology, BTreeMap<ServerName, PublicKey>) {
    let mut keys = BTreeMap::new();
    let mut sites = String::new();
    for (site, size) in sizes.iter().enumerate() {
        let mut servers = String::new();
        for server in 1..=*size {
            let name = format!("s{site}-{server}");
            let bytes = [u8::try_from(site).expect("few sites") * 16 + server; 32];
            let key = PrivateKey::from_bytes(bytes).public_key();
            let comma = if server == 1 { "" } else { ", " };
            write!(
                servers,
                r#"{comma}{{"name": "{name}", "ip": "2001:db8:{site}::{server}", "lanIp": "192.168.0.{server}",
                    "wireguardIp": "10.0.{site}.{server}", "publicKey": "{key}"}}"#
            )
            .expect("a string");
            keys.insert(ServerName::new(&name).expect("a name"), key);
        }
        let role = if site == 0 { "primary" } else { "replica" };
        let comma = if site == 0 { "" } else { ", " };
        write!(sites, r#"{comma}"s{site}": {{"enabled": true, "role": "{role}", "servers": [{servers}]}}"#)
            .expect("a string");
    }
    let sites = format!("{{{sites}}}");
    let documents = Documents { sites: Some(sites.as_bytes()), ..Documents::default() };
    (sb_topology::load(documents).expect("usable").topology, keys)
}

fn interfaces(topology: &Topology, keys: &BTreeMap<ServerName, PublicKey>) -> Vec<DesiredInterface> {
    let settings = NetworkSettings::default();
    let interface = |(name, key)| {
        DesiredInterface::new(topology, &settings, name, key, &Keyring::default()).expect("usable")
    };
    keys.iter().map(interface).collect()
}

/// How every server sees every other, drawn from numbers: mostly good.
fn matrix(keys: &BTreeMap<ServerName, PublicKey>, drawn: &[u8]) -> Matrix {
    let mut matrix = Matrix::default();
    let names: Vec<_> = keys.keys().collect();
    let pairs = names.iter().flat_map(|one| names.iter().map(move |other| (*one, *other)));
    for ((one, other), number) in pairs.zip(drawn.iter().cycle()) {
        let (state, for_ms, age_ms) = match number {
            0..8 => (SightState::Down, 30_000, 0),
            8..12 => (SightState::Down, 29_000, 0),
            12..18 => (SightState::Up, 59_000, 0),
            18..20 => (SightState::Up, 5_000, 0),
            20..22 => (SightState::Up, 90_000, 30_000),
            _ => (SightState::Up, 90_000, 0),
        };
        matrix.note(one, other, Sight { state, for_ms, age_ms });
    }
    matrix
}

fn sizes() -> impl Strategy<Value = Vec<u8>> {
    vec(1..=3u8, 3..=5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whoever_is_lost_the_rest_stay_pairwise_connected(sizes in sizes()) {
        let (topology, keys) = cluster(&sizes);
        prop_assert_eq!(lint(&topology, &interfaces(&topology, &keys)), []);
    }

    #[test]
    fn a_relay_plan_connects_every_pair_and_gives_no_address_two_owners(
        sizes in sizes(), drawn in vec(vec(0..60u8, 7..200), 1..4),
    ) {
        let (topology, keys) = cluster(&sizes);
        let mut plan = RelayPlan::default();
        for drawn in &drawn {
            plan = plan.next(&matrix(&keys, drawn));
        }
        let mut interfaces = interfaces(&topology, &keys);
        interfaces.iter_mut().for_each(|interface| plan.apply(interface));
        for interface in &interfaces {
            let key = PrivateKey::from_bytes([255; 32]);
            interface.target(plan.generation, &key, |_| Vec::new()).check().unwrap();
        }
        let now = lint(&topology, &interfaces);
        let now: Vec<_> = now.iter().filter(|it| it.without == sb_wireguard::lint::Loss::Nothing).collect();
        prop_assert!(now.is_empty(), "{now:?} {plan:?}");
    }

    #[test]
    fn a_relay_is_never_carried_by_another_and_the_same_input_changes_nothing(
        sizes in sizes(), drawn in vec(vec(0..60u8, 7..200), 1..5),
    ) {
        let (_, keys) = cluster(&sizes);
        let mut plan = RelayPlan::default();
        for drawn in &drawn {
            let matrix = matrix(&keys, drawn);
            let next = plan.next(&matrix);
            prop_assert_eq!(&next, &plan.next(&matrix));
            prop_assert_eq!(&next, &next.next(&matrix));
            for (pair, via) in next.relays() {
                let ends: Vec<_> = keys.keys().filter(|name| pair.other(name).is_some()).collect();
                for end in ends {
                    prop_assert_eq!(next.via(&Pair::new(end, via)), None);
                }
            }
            plan = next;
        }
    }
}

#[test]
fn a_network_that_goes_through_one_server_does_not_outlive_it() {
    let (topology, keys) = cluster(&[1, 1, 1]);
    let mut hub = interfaces(&topology, &keys);
    for interface in hub.iter_mut().filter(|interface| interface.server.as_str() != "s0-1") {
        let all: Vec<_> =
            interface.peers.iter_mut().flat_map(|peer| std::mem::take(&mut peer.addresses)).collect();
        let through = interface.peers.iter_mut().find(|peer| peer.name.as_str() == "s0-1").unwrap();
        through.addresses = all;
    }
    let texts: Vec<_> = lint(&topology, &hub).iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "`s1-1` does not reach `s2-1` once `s0-1` is lost",
            "`s2-1` does not reach `s1-1` once `s0-1` is lost",
            "`s1-1` does not reach `s2-1` once site `s0` is lost",
            "`s2-1` does not reach `s1-1` once site `s0` is lost",
        ]
    );
}

#[test]
fn servers_of_one_site_try_their_own_network_first() {
    let (topology, keys) = cluster(&[2, 1, 1]);
    let first = &interfaces(&topology, &keys)[0];
    let endpoints = |name: &str| {
        let peer = first.peer_named(&ServerName::new(name).unwrap()).unwrap();
        peer.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(endpoints("s0-2"), ["192.168.0.2:51820", "[2001:db8::2]:51820"]);
    assert_eq!(endpoints("s1-1"), ["[2001:db8:1::1]:51820"]);
}
