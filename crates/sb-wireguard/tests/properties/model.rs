//! An interface as WireGuard's protocol describes it, in memory: what a plan is carried out on.

use sb_wireguard::{
    AddressesChange, AllowedIp, Change, ObservedInterface, ObservedPeer, PeerChange, PeerScope,
};

/// Carries out one change.
pub(crate) fn apply(interface: &mut ObservedInterface, change: &Change) {
    match change {
        Change::PrivateKey(key) => interface.private_key.clone_from(key),
        Change::ListenPort(port) => interface.listen_port = *port,
        Change::FirewallMark(mark) => interface.firewall_mark = *mark,
        Change::RemoveAllPeers => interface.peers.clear(),
        Change::RemovePeer(key) => interface.peers.retain(|peer| peer.public_key != *key),
        Change::Peer(peer) => apply_peer(interface, peer),
    }
}

fn apply_peer(interface: &mut ObservedInterface, change: &PeerChange) {
    let key = change.public_key;
    if interface.peer(&key).is_none() {
        if change.scope == PeerScope::OnlyIfPresent {
            return;
        }
        interface.peers.push(ObservedPeer::new(key));
        interface.peers.sort_by_key(|peer| peer.public_key);
    }
    let gained: &[AllowedIp] = match &change.addresses {
        Some(AddressesChange::Replace(all)) => all,
        Some(AddressesChange::Alter { more, .. }) => more,
        None => &[],
    };
    for peer in interface.peers.iter_mut().filter(|peer| peer.public_key != key) {
        peer.addresses.retain(|range| !gained.contains(range));
    }
    let Some(peer) = interface.peers.iter_mut().find(|peer| peer.public_key == key) else { return };
    match &change.addresses {
        Some(AddressesChange::Replace(_)) => peer.addresses.clear(),
        Some(AddressesChange::Alter { less, .. }) => peer.addresses.retain(|range| !less.contains(range)),
        None => {}
    }
    peer.addresses.extend(gained);
    peer.addresses.sort_unstable();
    peer.addresses.dedup();
    if let Some(secret) = &change.preshared_key {
        peer.preshared_key.clone_from(secret);
    }
    peer.endpoint = change.endpoint.or(peer.endpoint);
    peer.keepalive_seconds = change.keepalive_seconds.unwrap_or(peer.keepalive_seconds);
}
