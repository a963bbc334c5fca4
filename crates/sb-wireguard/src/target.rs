use std::net::SocketAddr;
use std::time::Duration;

use crate::{AllowedIp, PresharedKey, PrivateKey, PublicKey};

/// What an interface should be once a plan has been carried out, with every name resolved.
#[derive(Debug, Clone)]
pub struct Target {
    /// Which state of the cluster's documents it was made from.
    pub generation: u64,
    /// The interface's own key.
    pub private_key: PrivateKey,
    /// UDP port.
    pub listen_port: u16,
    /// The mark on packets that it sends; 0 for none.
    pub firewall_mark: u32,
    /// Its peers, and no others.
    pub peers: Vec<TargetPeer>,
}

/// One peer as it should be.
#[derive(Debug, Clone)]
pub struct TargetPeer {
    /// Its key.
    pub public_key: PublicKey,
    /// The secret shared with it.
    pub preshared_key: Option<PresharedKey>,
    /// Where it may be reached, the one to try first in front. Empty for a peer that calls.
    pub endpoints: Vec<SocketAddr>,
    /// Seconds between packets that keep a NAT open; 0 for none.
    pub keepalive_seconds: u16,
    /// The addresses behind it.
    pub addresses: Vec<AllowedIp>,
}

/// A target that no interface can be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// A key is named twice, or is the interface's own.
    #[error("peer {0} is named twice, or is the interface itself")]
    KeyTwice(PublicKey),
    /// Two peers would own an address.
    #[error("{first} of peer {first_peer} and {second} of peer {second_peer} overlap")]
    Overlap {
        /// The range of the peer that is named first.
        first: AllowedIp,
        /// That peer.
        first_peer: PublicKey,
        /// The range of the other.
        second: AllowedIp,
        /// The other.
        second_peer: PublicKey,
    },
}

impl Target {
    /// The peer with this key.
    #[must_use]
    pub fn peer(&self, public_key: &PublicKey) -> Option<&TargetPeer> {
        self.peers.iter().find(|peer| peer.public_key == *public_key)
    }

    /// Whether an interface can be so.
    ///
    /// # Errors
    /// When a key or an address has two owners.
    pub fn check(&self) -> Result<(), TargetError> {
        let own = self.private_key.public_key();
        for (at, peer) in self.peers.iter().enumerate() {
            let earlier = &self.peers[..at];
            let named = earlier.iter().any(|other| other.public_key == peer.public_key);
            if named || peer.public_key == own {
                return Err(TargetError::KeyTwice(peer.public_key));
            }
            for other in earlier {
                check_overlap(other, peer)?;
            }
        }
        Ok(())
    }
}

fn check_overlap(earlier: &TargetPeer, later: &TargetPeer) -> Result<(), TargetError> {
    for first in &earlier.addresses {
        if let Some(second) = later.addresses.iter().find(|second| first.overlaps(**second)) {
            return Err(TargetError::Overlap {
                first: *first,
                first_peer: earlier.public_key,
                second: *second,
                second_peer: later.public_key,
            });
        }
    }
    Ok(())
}

/// A session is younger than this, or the peer is away: WireGuard makes a new one after 120 s, and gives up asking
/// for one after 90 s, of which the first answers come within 15.
pub const FRESH_SECONDS_MAX: u64 = 135;

/// Whether a handshake at `last` says, at `now`, that the peer is heard. Both are wall clock times since the Unix epoch; a
/// clock that was set back by little does not make a peer silent.
#[must_use]
pub fn is_fresh(last: Option<Duration>, now: Duration) -> bool {
    last.is_some_and(|last| last.abs_diff(now) <= Duration::from_secs(FRESH_SECONDS_MAX))
}
