use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// Where clients find the primary and the standbys: the proxy of every agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingPolicy {
    /// Where clients that write come in.
    pub read_write: Vec<ListenAddress>,
    /// Where clients that only read come in.
    pub read_only: Vec<ListenAddress>,
    /// Those of both kinds on which every connection begins with a PROXY header.
    pub proxy_protocol: Vec<ListenAddress>,
    /// A directory for a Unix socket of either kind; [`None`] for no sockets.
    pub socket_dir: Option<PathBuf>,
    /// How long a connection waits for a primary, in milliseconds.
    pub hold_ms: u64,
    /// How far behind a standby may be that readers are sent to, in bytes of log.
    pub lag_bound_bytes: u64,
    /// Connections that one address takes at a time.
    pub connections_max: u32,
}

impl RoutingPolicy {
    /// The port for clients that write.
    pub const READ_WRITE_PORT: u16 = 6432;
    /// The port for clients that only read.
    pub const READ_ONLY_PORT: u16 = 6433;
    /// Most addresses of either kind.
    pub const ADDRESSES_MAX: usize = 16;
}

impl Default for RoutingPolicy {
    fn default() -> Self {
        let on_loopback = |port| vec![ListenAddress(SocketAddr::from(([127, 0, 0, 1], port)))];
        Self {
            read_write: on_loopback(Self::READ_WRITE_PORT),
            read_only: on_loopback(Self::READ_ONLY_PORT),
            proxy_protocol: Vec::new(),
            socket_dir: None,
            hold_ms: 30_000,
            lag_bound_bytes: 16 << 20,
            connections_max: 1_000,
        }
    }
}

/// An address and port for clients of this server and its networks: of loopback, or private. The proxy asks nobody who
/// he is, so it listens on nothing that the internet reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenAddress(SocketAddr);

impl ListenAddress {
    /// The address and port.
    #[must_use]
    pub const fn get(self) -> SocketAddr {
        self.0
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is no address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ListenAddressError {
    /// It is not written as one.
    #[error("it is not ADDRESS:PORT, such as 127.0.0.1:6432")]
    Form,
    /// The system would choose the port.
    #[error("the port cannot be 0")]
    Port,
    /// It is reached from outside, or may be.
    #[error("it is neither of loopback nor of a private network (RFC 1918, RFC 4193)")]
    Public,
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address: SocketAddr = text.parse().map_err(|_| ListenAddressError::Form)?;
        let private = match address.ip() {
            IpAddr::V4(ip) => ip.is_loopback() || ip.is_private(),
            IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
        };
        match (address.port(), private) {
            (0, _) => Err(ListenAddressError::Port),
            (_, false) => Err(ListenAddressError::Public),
            (_, true) => Ok(Self(address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_listens_on_loopback_and_private_networks_only() {
        for good in ["127.0.0.1:6432", "172.17.0.1:6432", "10.0.1.1:1", "[::1]:6432", "[fd00::1]:6432"] {
            assert_eq!(good.parse::<ListenAddress>().unwrap().to_string(), good);
        }
        for (bad, error) in [
            ("0.0.0.0:6432", ListenAddressError::Public),
            ("[::]:6432", ListenAddressError::Public),
            ("203.0.113.1:6432", ListenAddressError::Public),
            ("127.0.0.1:0", ListenAddressError::Port),
            ("127.0.0.1", ListenAddressError::Form),
            ("localhost:6432", ListenAddressError::Form),
        ] {
            assert_eq!(bad.parse::<ListenAddress>(), Err(error), "{bad}");
        }
    }
}
