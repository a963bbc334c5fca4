use std::collections::BTreeSet;
use std::time::Duration;

use crate::diff::without;
use crate::{
    AddressesChange, AllowedIp, Change, Difference, ObservedInterface, PeerChange, PeerScope, PublicKey,
    Target, TargetError, TargetPeer, diff,
};

/// Changes that make an interface what it should be. Carrying them out in order leaves nothing to decide.
///
/// To ensure correctness: no address has two owners after any of them, a range that goes from one peer to another is
/// without an owner at no time, and no peer that stays is taken away, so every session lives on.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which state of the cluster's documents it was made from.
    pub generation: u64,
    /// In order.
    pub changes: Vec<Change>,
}

/// The smallest changes from `observed` to `target`, at wall clock time `now` (since the Unix epoch).
///
/// Addresses are first taken from peers where they would overlap with another's, then given. A range that another peer gets as it
/// is needs no taking: WireGuard moves it in one step. Foreign peers go last, when others have what they had.
///
/// # Errors
/// When no interface can be as the target is.
pub fn plan(target: &Target, observed: &ObservedInterface, now: Duration) -> Result<Plan, TargetError> {
    target.check()?;
    let differences = diff(target, observed, now);
    let gained: BTreeSet<_> = target.peers.iter().flat_map(|peer| &peer.addresses).copied().collect();
    let mut changes: Vec<_> =
        differences.iter().filter_map(|difference| interface_change(target, difference)).collect();
    let mut last = Vec::new();
    for peer in &observed.peers {
        let wanted = target.peer(&peer.public_key);
        let kept = wanted.map_or(&[][..], |wanted| &wanted.addresses);
        let lost = without(&peer.addresses, kept);
        let must_give_way = lost.iter().any(|range| !gained.contains(range));
        if must_give_way {
            let staying = peer.addresses.iter().filter(|range| gained.contains(range));
            changes.push(shrink(peer.public_key, staying.copied().collect()));
        }
        if wanted.is_none() {
            last.push(Change::RemovePeer(peer.public_key));
        }
    }
    for peer in &target.peers {
        changes.extend(peer_change(peer, &differences).map(Change::Peer));
    }
    changes.extend(last);
    Ok(Plan { generation: target.generation, changes })
}

fn interface_change(target: &Target, difference: &Difference) -> Option<Change> {
    match difference {
        Difference::PrivateKey => Some(Change::PrivateKey(Some(target.private_key.clone()))),
        Difference::ListenPort { desired, .. } => Some(Change::ListenPort(*desired)),
        Difference::FirewallMark { desired, .. } => Some(Change::FirewallMark(*desired)),
        Difference::Missing(_)
        | Difference::Foreign(_)
        | Difference::PresharedKey(_)
        | Difference::Endpoint { .. }
        | Difference::Keepalive { .. }
        | Difference::Addresses { .. } => None,
    }
}

/// By replacing, which every WireGuard knows; taking away single ranges came late to the kernel.
fn shrink(peer: PublicKey, staying: Vec<AllowedIp>) -> Change {
    let addresses = Some(AddressesChange::Replace(staying));
    Change::Peer(PeerChange { addresses, ..PeerChange::new(peer, PeerScope::OnlyIfPresent) })
}

/// What is altered of one peer, or the whole peer where it is missing.
fn peer_change(target: &TargetPeer, differences: &[Difference]) -> Option<PeerChange> {
    let mut change = PeerChange::new(target.public_key, PeerScope::OnlyIfPresent);
    let mut altered = false;
    for difference in differences {
        altered |= match difference {
            Difference::Missing(peer) if *peer == target.public_key => return Some(whole(target)),
            Difference::PresharedKey(peer) if *peer == target.public_key => {
                change.preshared_key = Some(target.preshared_key.clone());
                true
            }
            Difference::Endpoint { peer, desired, .. } if *peer == target.public_key => {
                change.endpoint = Some(*desired);
                true
            }
            Difference::Keepalive { peer, desired, .. } if *peer == target.public_key => {
                change.keepalive_seconds = Some(*desired);
                true
            }
            Difference::Addresses { peer, missing, .. }
                if *peer == target.public_key && !missing.is_empty() =>
            {
                change.addresses = Some(AddressesChange::Alter { more: missing.clone(), less: Vec::new() });
                true
            }
            _ => false,
        };
    }
    altered.then_some(change)
}

fn whole(target: &TargetPeer) -> PeerChange {
    PeerChange {
        public_key: target.public_key,
        scope: PeerScope::MadeIfMissing,
        preshared_key: target.preshared_key.clone().map(Some),
        endpoint: target.endpoints.first().copied(),
        keepalive_seconds: (target.keepalive_seconds != 0).then_some(target.keepalive_seconds),
        addresses: (!target.addresses.is_empty())
            .then(|| AddressesChange::Alter { more: target.addresses.clone(), less: Vec::new() }),
    }
}
