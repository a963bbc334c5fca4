//! Files of `wg-quick(8)`, for people who prefer them.
//!
//! A [`QuickFile`] is read whole, with every problem at once. `SaveConfig = true` is refused: wg-quick would write over the
//! file when the interface goes down, comments, names and changes with it. Comments are not kept.
//!
//! Secrets are never rendered. [`QuickFile::take_secrets`] puts each into a file of its own and has wg-quick load it from
//! there, so the file itself can be shown and compared. Its first lines name what made it and a sum of the rest, by which an
//! edit by hand is seen ([`is_as_written`]).

mod read;
mod write;

pub use read::{QUICK_BYTES_MAX, QuickProblem};
pub use write::{InstallError, KeyFiles, RenderError, SecretFile, is_as_written};

use std::net::IpAddr;

use sb_topology::Endpoint;

use crate::{AllowedIp, DesiredInterface, PresharedKey, PrivateKey, PublicKey};

/// A file of wg-quick.
#[derive(Debug, Clone, Default)]
pub struct QuickFile {
    /// The interface's own key, when it stands in the file.
    pub private_key: Option<PrivateKey>,
    /// UDP port; [`None`] for any.
    pub listen_port: Option<u16>,
    /// The mark on packets that it sends; 0 for none.
    pub firewall_mark: u32,
    /// The interface's own addresses, each with the length of its network's prefix.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Name servers and search domains, as written.
    pub dns: Vec<String>,
    /// Bytes of a tunnelled packet; [`None`] for what the route allows.
    pub mtu: Option<u16>,
    /// The table of routes, as written: a number, `auto` or `off`.
    pub table: Option<String>,
    /// Commands before it comes up.
    pub pre_up: Vec<String>,
    /// Commands after it is up.
    pub post_up: Vec<String>,
    /// Commands before it goes down.
    pub pre_down: Vec<String>,
    /// Commands after it is down.
    pub post_down: Vec<String>,
    /// Its peers, in the file's order.
    pub peers: Vec<QuickPeer>,
}

/// One `[Peer]`.
#[derive(Debug, Clone)]
pub struct QuickPeer {
    /// Its key.
    pub public_key: PublicKey,
    /// The secret shared with it, when it stands in the file.
    pub preshared_key: Option<PresharedKey>,
    /// The addresses behind it.
    pub addresses: Vec<AllowedIp>,
    /// Where it is reached.
    pub endpoint: Option<Endpoint>,
    /// Seconds between packets that keep a NAT open; 0 for none.
    pub keepalive_seconds: u16,
}

impl QuickFile {
    /// The file of one server's interface, with the first endpoint of each peer.
    #[must_use]
    pub fn of(interface: &DesiredInterface, private_key: &PrivateKey) -> Self {
        let peers = interface.peers.iter().map(|peer| QuickPeer {
            public_key: peer.public_key,
            preshared_key: peer.preshared_key.clone(),
            addresses: peer.addresses.clone(),
            endpoint: peer.endpoints.first().cloned(),
            keepalive_seconds: peer.keepalive_seconds,
        });
        Self {
            private_key: Some(private_key.clone()),
            listen_port: Some(interface.listen_port),
            addresses: vec![(interface.address.address(), interface.address.prefix())],
            mtu: Some(interface.mtu),
            peers: peers.collect(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests;
