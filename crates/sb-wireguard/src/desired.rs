use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use sb_topology::{Endpoint, NetworkSettings, Server, ServerName, Topology};

use crate::target::{Target, TargetPeer};
use crate::{AllowedIp, PresharedKey, PrivateKey, PublicKey};

/// What one server's interface should be, in the words of the cluster's documents.
///
/// Each other server is one peer with its own address and no other, so that no server's loss parts others.
#[derive(Debug, Clone)]
pub struct DesiredInterface {
    /// Whose interface it is.
    pub server: ServerName,
    /// Name of the network interface.
    pub name: String,
    /// Bytes of a tunnelled packet.
    pub mtu: u16,
    /// UDP port.
    pub listen_port: u16,
    /// The server's own mesh address.
    pub address: AllowedIp,
    /// Its peers, sorted by key.
    pub peers: Vec<DesiredPeer>,
    /// Servers whose key is not known yet: no peer until it is.
    pub without_key: Vec<ServerName>,
}

/// One peer, in the words of the cluster's documents.
#[derive(Debug, Clone)]
pub struct DesiredPeer {
    /// Which machine.
    pub name: ServerName,
    /// What the machine is.
    pub kind: PeerKind,
    /// Its key.
    pub public_key: PublicKey,
    /// The secret shared with it.
    pub preshared_key: Option<PresharedKey>,
    /// Where it may be reached, the best first; names are not resolved yet.
    pub endpoints: Vec<Endpoint>,
    /// Seconds between packets that keep a NAT open; 0 for none.
    pub keepalive_seconds: u16,
    /// The addresses behind it.
    pub addresses: Vec<AllowedIp>,
}

/// What a peer's machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerKind {
    /// A server of the cluster.
    Server,
    /// A person's, which calls and is not called.
    Operator,
}

/// What is known of keys beside the cluster's documents.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    /// Keys that took the place of the documents'.
    pub replaced: BTreeMap<ServerName, PublicKey>,
    /// Secrets shared with other machines. They belong to two machines, not to their keys.
    pub preshared: BTreeMap<ServerName, PresharedKey>,
}

/// The documents give no interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DesiredError {
    /// No enabled site has this server.
    #[error("no enabled site has a server `{0}`")]
    UnknownServer(ServerName),
    /// The private key on this server is not the one that the others know it by.
    #[error(
        "the private key of `{server}` belongs to {own}, and its public key is {announced} to the others"
    )]
    KeyMismatch {
        /// Whose key.
        server: ServerName,
        /// The public half of the key that it has.
        own: PublicKey,
        /// The public key in the documents.
        announced: PublicKey,
    },
    /// Two machines have one key, of which WireGuard would keep one.
    #[error("`{first}` and `{second}` have the same key")]
    KeyTwice {
        /// One of the machines.
        first: ServerName,
        /// The other.
        second: ServerName,
    },
    /// Two machines have one address, which WireGuard would give to the one that is named last.
    #[error("`{first}` and `{second}` have the same mesh address {address}")]
    AddressTwice {
        /// The address.
        address: IpAddr,
        /// One of the machines.
        first: ServerName,
        /// The other.
        second: ServerName,
    },
    /// Two servers are reached at one address and port: behind one public address each needs a port of its own.
    #[error("`{first}` and `{second}` are both reached at {endpoint}")]
    EndpointTwice {
        /// The address and port.
        endpoint: Endpoint,
        /// One of the servers.
        first: ServerName,
        /// The other.
        second: ServerName,
    },
}

impl DesiredInterface {
    /// The interface of server `own`, which the others know by `own_key`.
    ///
    /// # Errors
    /// When the documents cannot be followed without two machines in one's place.
    pub fn new(
        topology: &Topology,
        settings: &NetworkSettings,
        own: &ServerName,
        own_key: &PublicKey,
        keyring: &Keyring,
    ) -> Result<Self, DesiredError> {
        let server = topology.server(own).ok_or_else(|| DesiredError::UnknownServer(own.clone()))?;
        check_own_key(server, settings, own_key, keyring)?;
        check_endpoints(topology, settings)?;
        let others = topology.servers().filter(|other| other.name != *own);
        let (with_key, without): (Vec<_>, Vec<_>) = others.partition(|other| keyring.of(other).is_some());
        let of_servers = with_key.iter().filter_map(|other| server_peer(server, other, settings, keyring));
        let mut peers: Vec<_> = of_servers.chain(settings.operators.iter().map(operator_peer)).collect();
        check_used_once(server, own_key, &peers)?;
        peers.sort_by_key(|peer| peer.public_key);
        let mut desired = Self {
            server: own.clone(),
            name: settings.interface.clone(),
            mtu: settings.mtu,
            listen_port: settings.listen_port,
            address: whole(server.mesh_address),
            peers,
            without_key: without.into_iter().map(|server| server.name.clone()).collect(),
        };
        desired.share(&keyring.preshared);
        Ok(desired)
    }

    /// Gives every peer the secret that is shared with its machine, and none to the others.
    pub fn share(&mut self, secrets: &BTreeMap<ServerName, PresharedKey>) {
        for peer in &mut self.peers {
            peer.preshared_key = secrets.get(&peer.name).cloned();
        }
    }

    /// The peer that is this server, under the key it had when this was made.
    #[must_use]
    pub fn peer_named(&self, name: &ServerName) -> Option<&DesiredPeer> {
        self.peers.iter().find(|peer| peer.name == *name)
    }

    /// What to configure, with names resolved by `resolve`: every address of a name, the one to try first in front.
    pub fn target(
        &self,
        generation: u64,
        private_key: &PrivateKey,
        mut resolve: impl FnMut(&Endpoint) -> Vec<SocketAddr>,
    ) -> Target {
        let peers = self.peers.iter().map(|peer| TargetPeer {
            public_key: peer.public_key,
            preshared_key: peer.preshared_key.clone(),
            endpoints: peer.endpoints.iter().flat_map(&mut resolve).collect(),
            keepalive_seconds: peer.keepalive_seconds,
            addresses: peer.addresses.clone(),
        });
        Target {
            generation,
            private_key: private_key.clone(),
            listen_port: self.listen_port,
            firewall_mark: 0,
            peers: peers.collect(),
        }
    }
}

/// The network of one address.
fn whole(address: IpAddr) -> AllowedIp {
    let bits = if address.is_ipv4() { 32 } else { 128 };
    AllowedIp::containing(address, bits).expect("an address has as many bits as it has")
}

impl Keyring {
    /// The key that a server is known by.
    fn of(&self, server: &Server) -> Option<PublicKey> {
        let documented = || server.public_key.as_ref().map(PublicKey::from);
        self.replaced.get(&server.name).copied().or_else(documented)
    }
}

fn check_own_key(
    server: &Server,
    settings: &NetworkSettings,
    own_key: &PublicKey,
    keyring: &Keyring,
) -> Result<(), DesiredError> {
    let replaced = keyring.replaced.get(&server.name);
    let documented = server.public_key.iter().chain(&settings.public_key).filter(|_| replaced.is_none());
    let announced = replaced.copied().into_iter().chain(documented.map(PublicKey::from));
    match { announced }.find(|announced| announced != own_key) {
        Some(announced) => {
            Err(DesiredError::KeyMismatch { server: server.name.clone(), own: *own_key, announced })
        }
        None => Ok(()),
    }
}

fn server_peer(
    own: &Server,
    other: &Server,
    settings: &NetworkSettings,
    keyring: &Keyring,
) -> Option<DesiredPeer> {
    let neighbours = own.site == other.site && own.lan_ip.is_some();
    let lan = other.lan_ip.filter(|_| neighbours).map(|ip| at(ip, settings.listen_port));
    Some(DesiredPeer {
        name: other.name.clone(),
        kind: PeerKind::Server,
        public_key: keyring.of(other)?,
        preshared_key: None,
        endpoints: lan.into_iter().chain(public_endpoint(other, settings)).collect(),
        keepalive_seconds: settings.keepalive_seconds,
        addresses: vec![whole(other.mesh_address)],
    })
}

fn operator_peer(operator: &sb_topology::Operator) -> DesiredPeer {
    DesiredPeer {
        name: operator.name.clone(),
        kind: PeerKind::Operator,
        public_key: (&operator.public_key).into(),
        preshared_key: None,
        endpoints: Vec::new(),
        keepalive_seconds: 0,
        addresses: vec![whole(operator.mesh_address)],
    }
}

/// Every server listens on the same port, unless its `endpoint` says otherwise.
fn public_endpoint(server: &Server, settings: &NetworkSettings) -> Option<Endpoint> {
    server.endpoint.clone().or_else(|| server.ip.map(|ip| at(ip, settings.listen_port)))
}

fn at(ip: IpAddr, port: u16) -> Endpoint {
    SocketAddr::new(ip, port)
        .to_string()
        .parse()
        .expect("an address and a port that is not 0 are an endpoint")
}

fn check_endpoints(topology: &Topology, settings: &NetworkSettings) -> Result<(), DesiredError> {
    let mut seen = BTreeMap::new();
    for server in topology.servers() {
        let Some(endpoint) = public_endpoint(server, settings) else { continue };
        if let Some(first) = seen.insert(endpoint.clone(), &server.name) {
            let (first, second) = (first.clone(), server.name.clone());
            return Err(DesiredError::EndpointTwice { endpoint, first, second });
        }
    }
    Ok(())
}

fn check_used_once(own: &Server, own_key: &PublicKey, peers: &[DesiredPeer]) -> Result<(), DesiredError> {
    let mut keys = BTreeMap::from([(*own_key, &own.name)]);
    let mut addresses = BTreeMap::from([(own.mesh_address, &own.name)]);
    for peer in peers {
        let second = || peer.name.clone();
        if let Some(first) = keys.insert(peer.public_key, &peer.name) {
            return Err(DesiredError::KeyTwice { first: first.clone(), second: second() });
        }
        for address in peer.addresses.iter().map(|range| range.address()) {
            if let Some(first) = addresses.insert(address, &peer.name) {
                return Err(DesiredError::AddressTwice { address, first: first.clone(), second: second() });
            }
        }
    }
    Ok(())
}
