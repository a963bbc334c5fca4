//! What the kernel says of an interface of its own.

use std::time::Duration;

use netlink_packet_wireguard::{
    WireguardAllowedIp, WireguardAllowedIpAttr, WireguardAttribute, WireguardMessage, WireguardPeer,
    WireguardPeerAttribute,
};

use crate::{AllowedIp, ObservedInterface, ObservedPeer, PresharedKey, PrivateKey, PublicKey};

/// Puts the messages of one dump together. The kernel splits the peers, and one peer's ranges, over as many messages as
/// it needs: a peer that is named twice in a row goes on.
pub(super) fn decode(messages: Vec<WireguardMessage>) -> ObservedInterface {
    let mut interface = ObservedInterface::default();
    for attribute in messages.into_iter().flat_map(|message| message.attributes) {
        match attribute {
            WireguardAttribute::PrivateKey(bytes) if bytes != [0; 32] => {
                interface.private_key = Some(PrivateKey::from_bytes(bytes));
            }
            WireguardAttribute::ListenPort(port) => interface.listen_port = port,
            WireguardAttribute::Fwmark(mark) => interface.firewall_mark = mark,
            WireguardAttribute::Peers(peers) => {
                for peer in peers.into_iter().filter_map(peer) {
                    take_in(&mut interface.peers, peer);
                }
            }
            _ => {}
        }
    }
    interface.peers.sort_by_key(|peer| peer.public_key);
    for peer in &mut interface.peers {
        peer.addresses.sort_unstable();
    }
    interface
}

fn take_in(peers: &mut Vec<ObservedPeer>, peer: ObservedPeer) {
    match peers.last_mut().filter(|last| last.public_key == peer.public_key) {
        Some(last) => last.addresses.extend(peer.addresses),
        None => peers.push(peer),
    }
}

/// [`None`] for a peer without a key, which the kernel does not have.
fn peer(peer: WireguardPeer) -> Option<ObservedPeer> {
    let key = peer.0.iter().find_map(|attribute| match attribute {
        WireguardPeerAttribute::PublicKey(bytes) => Some(PublicKey::from_bytes(*bytes)),
        _ => None,
    });
    let mut observed = ObservedPeer::new(key?);
    for attribute in peer.0 {
        match attribute {
            WireguardPeerAttribute::PresharedKey(bytes) => {
                observed.preshared_key = PresharedKey::from_bytes(bytes);
            }
            WireguardPeerAttribute::Endpoint(endpoint) => observed.endpoint = Some(endpoint),
            WireguardPeerAttribute::PersistentKeepalive(seconds) => observed.keepalive_seconds = seconds,
            WireguardPeerAttribute::LastHandshake(time) => {
                observed.last_handshake = since_epoch(time.seconds, time.nano_seconds);
            }
            WireguardPeerAttribute::RxBytes(bytes) => observed.received_bytes = bytes,
            WireguardPeerAttribute::TxBytes(bytes) => observed.sent_bytes = bytes,
            WireguardPeerAttribute::AllowedIps(ranges) => {
                observed.addresses.extend(ranges.iter().filter_map(allowed_ip));
            }
            _ => {}
        }
    }
    Some(observed)
}

/// The kernel says zero for a handshake that never was.
fn since_epoch(seconds: i64, nanoseconds: i64) -> Option<Duration> {
    let time = Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanoseconds).ok()?);
    (!time.is_zero()).then_some(time)
}

fn allowed_ip(range: &WireguardAllowedIp) -> Option<AllowedIp> {
    let address = range.0.iter().find_map(|attribute| match attribute {
        WireguardAllowedIpAttr::IpAddr(address) => Some(*address),
        _ => None,
    });
    let prefix = range.0.iter().find_map(|attribute| match attribute {
        WireguardAllowedIpAttr::Cidr(prefix) => Some(*prefix),
        _ => None,
    });
    AllowedIp::containing(address?, prefix?).ok()
}
