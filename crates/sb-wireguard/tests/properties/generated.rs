//! Arbitrary values of the crate's vocabulary.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sb_wireguard::{
    AddressesChange, AllowedIp, Change, ObservedInterface, ObservedPeer, PeerChange, PeerScope, PresharedKey,
    PrivateKey, PublicKey,
};

/// Few keys, so that they meet.
pub(crate) fn public_key() -> impl Strategy<Value = PublicKey> {
    (1..8u8).prop_map(|byte| PublicKey::from_bytes([byte; 32]))
}

pub(crate) fn private_key() -> impl Strategy<Value = PrivateKey> {
    any::<[u8; 32]>().prop_map(PrivateKey::from_bytes)
}

pub(crate) fn preshared_key() -> impl Strategy<Value = Option<PresharedKey>> {
    option::of(any::<[u8; 32]>()).prop_map(|bytes| bytes.and_then(PresharedKey::from_bytes))
}

pub(crate) fn range() -> impl Strategy<Value = AllowedIp> {
    let v4 = (any::<u32>(), 0..=32u8).prop_map(|(bits, prefix)| (IpAddr::from(Ipv4Addr::from(bits)), prefix));
    let v6 =
        (any::<u128>(), 0..=128u8).prop_map(|(bits, prefix)| (IpAddr::from(Ipv6Addr::from(bits)), prefix));
    prop_oneof![v4, v6]
        .prop_map(|(address, prefix)| AllowedIp::containing(address, prefix).expect("the prefix fits"))
}

pub(crate) fn endpoint() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), 1..=u16::MAX).prop_map(SocketAddr::from)
}

fn ranges() -> impl Strategy<Value = Vec<AllowedIp>> {
    vec(range(), 0..4).prop_map(|mut ranges| {
        ranges.sort_unstable();
        ranges.dedup();
        ranges
    })
}

fn addresses() -> impl Strategy<Value = AddressesChange> {
    let alter = (ranges(), ranges()).prop_map(|(more, mut less)| {
        less.retain(|range| !more.contains(range));
        AddressesChange::Alter { more, less }
    });
    prop_oneof![ranges().prop_map(AddressesChange::Replace), alter]
}

fn peer_change() -> impl Strategy<Value = PeerChange> {
    let scope = prop_oneof![Just(PeerScope::MadeIfMissing), Just(PeerScope::OnlyIfPresent)];
    let secret = option::of(preshared_key());
    (public_key(), scope, secret, option::of(endpoint()), option::of(any::<u16>()), option::of(addresses()))
        .prop_map(|(public_key, scope, preshared_key, endpoint, keepalive_seconds, addresses)| PeerChange {
            public_key,
            scope,
            preshared_key,
            endpoint,
            keepalive_seconds,
            addresses,
        })
}

pub(crate) fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        option::of(private_key()).prop_map(Change::PrivateKey),
        any::<u16>().prop_map(Change::ListenPort),
        any::<u32>().prop_map(Change::FirewallMark),
        Just(Change::RemoveAllPeers),
        public_key().prop_map(Change::RemovePeer),
        peer_change().prop_map(Change::Peer),
    ];
    vec(change, 0..12)
}

fn observed_peer() -> impl Strategy<Value = ObservedPeer> {
    let handshake = option::of((1..u64::MAX, 0..1_000_000_000u32));
    let numbers = (any::<u16>(), any::<u64>(), any::<u64>());
    (public_key(), preshared_key(), option::of(endpoint()), ranges(), handshake, numbers).prop_map(
        |(public_key, preshared_key, endpoint, addresses, handshake, numbers)| ObservedPeer {
            public_key,
            preshared_key,
            endpoint,
            keepalive_seconds: numbers.0,
            addresses,
            last_handshake: handshake.map(|(seconds, nanos)| Duration::new(seconds, nanos)),
            received_bytes: numbers.1,
            sent_bytes: numbers.2,
        },
    )
}

pub(crate) fn interface() -> impl Strategy<Value = ObservedInterface> {
    (option::of(private_key()), any::<u16>(), any::<u32>(), vec(observed_peer(), 0..6)).prop_map(
        |(private_key, listen_port, firewall_mark, mut peers)| {
            peers.sort_by_key(|peer| peer.public_key);
            peers.dedup_by_key(|peer| peer.public_key);
            ObservedInterface { private_key, listen_port, firewall_mark, peers }
        },
    )
}
