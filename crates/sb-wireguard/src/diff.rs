use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::target::{Target, TargetPeer, is_fresh};
use crate::{AllowedIp, ObservedInterface, ObservedPeer, PublicKey};

/// One thing in which an interface is not what it should be. Secrets are told to differ and not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Another key of its own, or none.
    PrivateKey,
    /// Another UDP port.
    ListenPort {
        /// As it should be.
        desired: u16,
        /// As it is.
        observed: u16,
    },
    /// Another mark.
    FirewallMark {
        /// As it should be.
        desired: u32,
        /// As it is.
        observed: u32,
    },
    /// A peer that is not there.
    Missing(PublicKey),
    /// A peer that does not belong there.
    Foreign(PublicKey),
    /// Another secret shared with a peer, or one more or less.
    PresharedKey(PublicKey),
    /// A peer is looked for elsewhere, and not heard from there.
    Endpoint {
        /// Which peer.
        peer: PublicKey,
        /// As it should be.
        desired: SocketAddr,
        /// As it is.
        observed: Option<SocketAddr>,
    },
    /// Another keepalive, in seconds.
    Keepalive {
        /// Which peer.
        peer: PublicKey,
        /// As it should be.
        desired: u16,
        /// As it is.
        observed: u16,
    },
    /// Other addresses behind a peer.
    Addresses {
        /// Which peer.
        peer: PublicKey,
        /// Not there.
        missing: Vec<AllowedIp>,
        /// There, and not to be.
        surplus: Vec<AllowedIp>,
    },
}

/// Everything in which `observed` is not `target` at wall clock time `now` (since the Unix epoch): of the interface first, then by
/// peer.
///
/// A peer that is heard from where it was not expected has roamed, and is left there.
#[must_use]
pub fn diff(target: &Target, observed: &ObservedInterface, now: Duration) -> Vec<Difference> {
    let mut differences = Vec::new();
    let key = |key: &crate::PrivateKey| *key.expose_bytes();
    if observed.private_key.as_ref().map(key) != Some(key(&target.private_key)) {
        differences.push(Difference::PrivateKey);
    }
    if observed.listen_port != target.listen_port {
        let (desired, observed) = (target.listen_port, observed.listen_port);
        differences.push(Difference::ListenPort { desired, observed });
    }
    if observed.firewall_mark != target.firewall_mark {
        let (desired, observed) = (target.firewall_mark, observed.firewall_mark);
        differences.push(Difference::FirewallMark { desired, observed });
    }
    let foreign = observed.peers.iter().filter(|peer| target.peer(&peer.public_key).is_none());
    differences.extend(foreign.map(|peer| Difference::Foreign(peer.public_key)));
    for peer in &target.peers {
        match observed.peer(&peer.public_key) {
            None => differences.push(Difference::Missing(peer.public_key)),
            Some(there) => diff_peer(peer, there, now, &mut differences),
        }
    }
    differences
}

fn diff_peer(target: &TargetPeer, observed: &ObservedPeer, now: Duration, differences: &mut Vec<Difference>) {
    let peer = target.public_key;
    if target.preshared_key != observed.preshared_key {
        differences.push(Difference::PresharedKey(peer));
    }
    let heard = observed.endpoint.is_some() && is_fresh(observed.last_handshake, now);
    if let Some(desired) =
        target.endpoints.first().filter(|first| observed.endpoint != Some(**first) && !heard)
    {
        differences.push(Difference::Endpoint { peer, desired: *desired, observed: observed.endpoint });
    }
    if target.keepalive_seconds != observed.keepalive_seconds {
        let (desired, observed) = (target.keepalive_seconds, observed.keepalive_seconds);
        differences.push(Difference::Keepalive { peer, desired, observed });
    }
    let missing = without(&target.addresses, &observed.addresses);
    let surplus = without(&observed.addresses, &target.addresses);
    if !missing.is_empty() || !surplus.is_empty() {
        differences.push(Difference::Addresses { peer, missing, surplus });
    }
}

/// The ranges of `some` that are not in `others`.
pub(crate) fn without(some: &[AllowedIp], others: &[AllowedIp]) -> Vec<AllowedIp> {
    some.iter().filter(|range| !others.contains(range)).copied().collect()
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrivateKey => write!(f, "the private key differs"),
            Self::ListenPort { desired, observed } => {
                write!(f, "listen port {observed}, should be {desired}")
            }
            Self::FirewallMark { desired, observed } => {
                write!(f, "firewall mark {observed}, should be {desired}")
            }
            Self::Missing(peer) => write!(f, "peer {peer} is missing"),
            Self::Foreign(peer) => write!(f, "peer {peer} does not belong here"),
            Self::PresharedKey(peer) => write!(f, "the preshared key of peer {peer} differs"),
            Self::Endpoint { peer, desired, observed: Some(observed) } => {
                write!(f, "peer {peer} is looked for at {observed}, should be {desired}")
            }
            Self::Endpoint { peer, desired, observed: None } => {
                write!(f, "peer {peer} has no endpoint, should be {desired}")
            }
            Self::Keepalive { peer, desired, observed } => {
                write!(f, "peer {peer} has a keepalive of {observed} s, should be {desired} s")
            }
            Self::Addresses { peer, missing, surplus } => {
                write!(f, "peer {peer} lacks {missing:?} and has {surplus:?} too many")
            }
        }
    }
}
