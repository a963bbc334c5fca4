use std::net::SocketAddr;

use crate::{AllowedIp, PresharedKey, PrivateKey, PublicKey};

/// One smallest alteration of an interface, with the meaning it has in WireGuard's configuration protocol.
///
/// What is not named stays as it is. Applying a change that is in force already has no effect; in particular it ends
/// no session.
#[derive(Debug, Clone)]
pub enum Change {
    /// The interface's own key; [`None`] takes it away, and nothing is sent or received any more.
    PrivateKey(Option<PrivateKey>),
    /// The UDP port it listens on; 0 lets the system choose.
    ListenPort(u16),
    /// The mark on packets that it sends, for rules of routing; 0 for none.
    FirewallMark(u32),
    /// Takes every peer away.
    RemoveAllPeers,
    /// Takes one peer away; no effect when it is not there.
    RemovePeer(PublicKey),
    /// Adds a peer or alters it.
    Peer(PeerChange),
}

/// What changes of one peer. A peer that is new starts with no preshared key, endpoint, keepalive or addresses.
#[derive(Debug, Clone)]
pub struct PeerChange {
    /// Which peer.
    pub public_key: PublicKey,
    /// Whether the peer may be made.
    pub scope: PeerScope,
    /// The new preshared key; `Some(None)` takes it away.
    pub preshared_key: Option<Option<PresharedKey>>,
    /// Where it is sent to from now on, until it is heard from elsewhere.
    pub endpoint: Option<SocketAddr>,
    /// Seconds between packets that keep a NAT open; 0 for none.
    pub keepalive_seconds: Option<u16>,
    /// The addresses behind it.
    pub addresses: Option<AddressesChange>,
}

/// Whether a change of a peer may make it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerScope {
    /// Made when it is not there.
    MadeIfMissing,
    /// No effect when it is not there.
    OnlyIfPresent,
}

/// A change of the addresses behind a peer. An address belongs to one peer of an interface: who gets it takes it from
/// whoever had it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressesChange {
    /// These and no others.
    Replace(Vec<AllowedIp>),
    /// Some more, and some less: a range of `less` that belongs to another peer stays there.
    Alter {
        /// Ranges that it gets.
        more: Vec<AllowedIp>,
        /// Ranges that it loses.
        less: Vec<AllowedIp>,
    },
}

impl PeerChange {
    /// A change of a peer that names nothing yet.
    #[must_use]
    pub const fn new(public_key: PublicKey, scope: PeerScope) -> Self {
        Self {
            public_key,
            scope,
            preshared_key: None,
            endpoint: None,
            keepalive_seconds: None,
            addresses: None,
        }
    }
}
