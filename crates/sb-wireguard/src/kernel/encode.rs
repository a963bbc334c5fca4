//! Changes as messages of the kernel's generic netlink family `wireguard` (`linux/wireguard.h`).

use netlink_packet_wireguard::{
    WireguardAddressFamily, WireguardAllowedIp, WireguardAllowedIpAttr, WireguardAttribute, WireguardCmd,
    WireguardDeviceFlags, WireguardMessage, WireguardPeer, WireguardPeerAttribute, WireguardPeerFlags,
};

use crate::{AddressesChange, AllowedIp, Change, ObservedInterface, PeerChange, PeerScope, PublicKey};

/// The message that carries out one change of the interface `name`, which is now as `observed`.
///
/// Ranges that a peer loses are taken from what it has, since only kernels from 6.16 on know how to remove a single
/// one and older ones read the same message as an addition.
pub(super) fn encode(name: &str, change: &Change, observed: &ObservedInterface) -> WireguardMessage {
    let mut attributes = vec![WireguardAttribute::IfName(name.to_owned())];
    attributes.push(match change {
        Change::PrivateKey(key) => {
            WireguardAttribute::PrivateKey(key.as_ref().map_or([0; 32], |key| *key.expose_bytes()))
        }
        Change::ListenPort(port) => WireguardAttribute::ListenPort(*port),
        Change::FirewallMark(mark) => WireguardAttribute::Fwmark(*mark),
        Change::RemoveAllPeers => WireguardAttribute::Flags(WireguardDeviceFlags::ReplacePeers),
        Change::RemovePeer(key) => peers(vec![
            WireguardPeerAttribute::PublicKey(*key.as_bytes()),
            WireguardPeerAttribute::Flags(WireguardPeerFlags::RemoveMe),
        ]),
        Change::Peer(change) => peers(peer(change, observed)),
    });
    WireguardMessage { cmd: WireguardCmd::SetDevice, attributes }
}

fn peers(attributes: Vec<WireguardPeerAttribute>) -> WireguardAttribute {
    WireguardAttribute::Peers(vec![WireguardPeer(attributes)])
}

fn peer(change: &PeerChange, observed: &ObservedInterface) -> Vec<WireguardPeerAttribute> {
    let mut attributes = vec![WireguardPeerAttribute::PublicKey(*change.public_key.as_bytes())];
    let mut flags = match change.scope {
        PeerScope::MadeIfMissing => WireguardPeerFlags::empty(),
        PeerScope::OnlyIfPresent => WireguardPeerFlags::UpdateOnly,
    };
    let ranges = change.addresses.as_ref().map(|addresses| ranges(&change.public_key, addresses, observed));
    if let Some((Replacing::All, _)) = ranges {
        flags |= WireguardPeerFlags::ReplaceAllowedIps;
    }
    if !flags.is_empty() {
        attributes.push(WireguardPeerAttribute::Flags(flags));
    }
    if let Some(key) = &change.preshared_key {
        let bytes = key.as_ref().map_or([0; 32], |key| *key.expose_bytes());
        attributes.push(WireguardPeerAttribute::PresharedKey(bytes));
    }
    if let Some(endpoint) = change.endpoint {
        attributes.push(WireguardPeerAttribute::Endpoint(endpoint));
    }
    if let Some(seconds) = change.keepalive_seconds {
        attributes.push(WireguardPeerAttribute::PersistentKeepalive(seconds));
    }
    if let Some((_, ranges)) = ranges
        && !ranges.is_empty()
    {
        attributes.push(WireguardPeerAttribute::AllowedIps(ranges.into_iter().map(allowed_ip).collect()));
    }
    attributes
}

/// Whether the ranges of a message stand beside those that the peer has, or in their place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Replacing {
    Nothing,
    All,
}

fn ranges(
    peer: &PublicKey,
    change: &AddressesChange,
    observed: &ObservedInterface,
) -> (Replacing, Vec<AllowedIp>) {
    match change {
        AddressesChange::Replace(ranges) => (Replacing::All, ranges.clone()),
        AddressesChange::Alter { more, less } if less.is_empty() => (Replacing::Nothing, more.clone()),
        AddressesChange::Alter { more, less } => {
            let kept = observed.peer(peer).map(|peer| peer.addresses.as_slice()).unwrap_or_default();
            let kept = kept.iter().filter(|range| !less.contains(range) && !more.contains(range));
            (Replacing::All, kept.chain(more).copied().collect())
        }
    }
}

fn allowed_ip(range: AllowedIp) -> WireguardAllowedIp {
    let family = match range.address().is_ipv4() {
        true => WireguardAddressFamily::Ipv4,
        false => WireguardAddressFamily::Ipv6,
    };
    WireguardAllowedIp(vec![
        WireguardAllowedIpAttr::Family(family),
        WireguardAllowedIpAttr::IpAddr(range.address()),
        WireguardAllowedIpAttr::Cidr(range.prefix()),
    ])
}
