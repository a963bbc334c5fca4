use std::net::SocketAddr;
use std::time::Duration;

use crate::{AllowedIp, PresharedKey, PrivateKey, PublicKey};

/// Everything that a WireGuard interface says of itself.
#[derive(Debug, Clone, Default)]
pub struct ObservedInterface {
    /// Its own key; [`None`] until one is set.
    pub private_key: Option<PrivateKey>,
    /// The UDP port it listens on; 0 while it does not.
    pub listen_port: u16,
    /// The mark on packets that it sends; 0 for none.
    pub firewall_mark: u32,
    /// Its peers, sorted by key.
    pub peers: Vec<ObservedPeer>,
}

/// One peer as the interface knows it.
#[derive(Debug, Clone)]
pub struct ObservedPeer {
    /// Its key.
    pub public_key: PublicKey,
    /// The secret shared with it.
    pub preshared_key: Option<PresharedKey>,
    /// Where it was heard from last, or was configured to be.
    pub endpoint: Option<SocketAddr>,
    /// Seconds between packets that keep a NAT open; 0 for none.
    pub keepalive_seconds: u16,
    /// The addresses behind it, sorted.
    pub addresses: Vec<AllowedIp>,
    /// The wall clock at its last handshake, since the Unix epoch; [`None`] before the first.
    pub last_handshake: Option<Duration>,
    /// Bytes received from it, as on the wire.
    pub received_bytes: u64,
    /// Bytes sent to it, as on the wire.
    pub sent_bytes: u64,
}

impl ObservedInterface {
    /// The peer with this key.
    #[must_use]
    pub fn peer(&self, public_key: &PublicKey) -> Option<&ObservedPeer> {
        self.peers.iter().find(|peer| peer.public_key == *public_key)
    }
}

impl ObservedPeer {
    /// A peer of which nothing but the key is known.
    #[must_use]
    pub const fn new(public_key: PublicKey) -> Self {
        Self {
            public_key,
            preshared_key: None,
            endpoint: None,
            keepalive_seconds: 0,
            addresses: Vec::new(),
            last_handshake: None,
            received_bytes: 0,
            sent_bytes: 0,
        }
    }
}
