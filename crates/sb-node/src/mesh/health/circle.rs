use std::collections::BTreeMap;
use std::net::IpAddr;

use sb_topology::ServerName;
use sb_wireguard::{DesiredInterface, PeerKind};

/// Who asks, and who is asked: the other servers whose keys are known.
#[derive(Debug, Clone)]
pub(in crate::mesh) struct Circle {
    /// This server's mesh address.
    pub(super) own: IpAddr,
    /// Bytes of the interface's largest packet.
    pub(super) mtu: u16,
    /// The mesh addresses of the others.
    pub(super) servers: BTreeMap<ServerName, IpAddr>,
}

impl Circle {
    /// The circle of one server's interface, as the documents want it: operators are not asked.
    pub(in crate::mesh) fn of(desired: &DesiredInterface) -> Self {
        let servers = desired.peers.iter().filter(|peer| peer.kind == PeerKind::Server);
        let place = |range: &sb_wireguard::AllowedIp| range.address();
        let servers =
            servers.filter_map(|peer| Some((peer.name.clone(), peer.addresses.first().map(place)?)));
        Self { own: desired.address.address(), mtu: desired.mtu, servers: servers.collect() }
    }
}
