use std::time::Duration;

use zeroize::Zeroizing;

use super::Errno;
use super::request::put;
use crate::{ObservedInterface, ObservedPeer};

/// Bytes set aside for the interface and for each peer, so that secrets are not left behind where a growing text was
/// before.
const PART_BYTES: usize = 512;
/// Bytes set aside for one range of addresses.
const RANGE_BYTES: usize = 64;

/// The answer to [`super::Request::Get`].
///
/// It holds the private key: `wg showconf`, and a file saved with it, would lose the key otherwise.
#[must_use]
pub fn write_state(interface: &ObservedInterface) -> Zeroizing<String> {
    let ranges: usize = interface.peers.iter().map(|peer| peer.addresses.len()).sum();
    let capacity = PART_BYTES * (interface.peers.len() + 1) + RANGE_BYTES * ranges;
    let mut text = Zeroizing::new(String::with_capacity(capacity));
    if let Some(key) = &interface.private_key {
        put(&mut text, "private_key", key.expose_hex().as_str());
    }
    if interface.listen_port != 0 {
        put(&mut text, "listen_port", interface.listen_port);
    }
    if interface.firewall_mark != 0 {
        put(&mut text, "fwmark", interface.firewall_mark);
    }
    for peer in &interface.peers {
        write_peer(&mut text, peer);
    }
    text.push_str(&write_status(Errno::NONE));
    text
}

/// The answer to [`super::Request::Set`], and to a request that failed. Negative, as wireguard-go writes it: `wg` turns
/// that into words.
#[must_use]
pub fn write_status(errno: Errno) -> String {
    format!("errno={}\n\n", -errno.number())
}

fn write_peer(text: &mut String, peer: &ObservedPeer) {
    put(text, "public_key", peer.public_key.to_hex());
    match &peer.preshared_key {
        Some(key) => put(text, "preshared_key", key.expose_hex().as_str()),
        None => put(text, "preshared_key", "0".repeat(64)),
    }
    put(text, "protocol_version", 1);
    if let Some(endpoint) = peer.endpoint {
        put(text, "endpoint", endpoint);
    }
    let handshake = peer.last_handshake.unwrap_or(Duration::ZERO);
    put(text, "last_handshake_time_sec", handshake.as_secs());
    put(text, "last_handshake_time_nsec", handshake.subsec_nanos());
    put(text, "tx_bytes", peer.sent_bytes);
    put(text, "rx_bytes", peer.received_bytes);
    put(text, "persistent_keepalive_interval", peer.keepalive_seconds);
    for range in &peer.addresses {
        put(text, "allowed_ip", range);
    }
}
