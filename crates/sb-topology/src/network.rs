use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ServerName;

/// The only text that `privateKey` of `network.json` may hold: the key itself is in `.wireguard_private`.
pub const PRIVATE_KEY_MARKER: &str = "***STORED_SECURELY***";

/// `network.json`: the mesh as this one server takes part in it.
///
/// It is not part of a [`crate::Topology`]: every server has its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSettings {
    /// This server's WireGuard key; [`None`] until it is made.
    pub public_key: Option<PublicKey>,
    /// UDP port on which WireGuard listens.
    pub listen_port: u16,
    /// Where others reach it, when that is not its `ip`.
    pub endpoint: Option<Endpoint>,
    /// Name of the network interface.
    pub interface: String,
    /// Bytes of a tunnelled packet.
    pub mtu: u16,
    /// Seconds between packets that keep a NAT open; 0 for none.
    pub keepalive_seconds: u16,
    /// Which WireGuard is used.
    pub mode: MeshMode,
    /// Machines of people who may enter the mesh, in the order of the document.
    pub operators: Vec<Operator>,
}

/// A machine of somebody who looks after the cluster: a peer that calls the servers and is not called by them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Its name, for people.
    pub name: ServerName,
    /// Its WireGuard key.
    pub public_key: PublicKey,
    /// Its address inside the mesh.
    pub mesh_address: IpAddr,
}

impl NetworkSettings {
    /// WireGuard's usual port.
    pub const LISTEN_PORT_DEFAULT: u16 = 51820;
    /// Interface name when none is given.
    pub const INTERFACE_DEFAULT: &str = "sb0";
    /// 1500 less the 80 bytes of WireGuard over IPv6.
    pub const MTU_DEFAULT: u16 = 1420;
    /// Smallest MTU: what IPv6 requires of a link (RFC 8200, section 5).
    pub const MTU_MIN: u16 = 1280;
    /// Largest MTU: a jumbo frame less WireGuard's 80 bytes.
    pub const MTU_MAX: u16 = 8920;
    /// Seconds, as WireGuard's manual advises behind NAT.
    pub const KEEPALIVE_DEFAULT_SECONDS: u16 = 25;
    /// Longest name of a Linux network interface (`IFNAMSIZ` less the final zero).
    pub const INTERFACE_BYTES_MAX: usize = 15;
    /// Most machines of people that are let in.
    pub const OPERATORS_MAX: usize = 64;
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            public_key: None,
            listen_port: Self::LISTEN_PORT_DEFAULT,
            endpoint: None,
            interface: Self::INTERFACE_DEFAULT.to_owned(),
            mtu: Self::MTU_DEFAULT,
            keepalive_seconds: Self::KEEPALIVE_DEFAULT_SECONDS,
            mode: MeshMode::Auto,
            operators: Vec::new(),
        }
    }
}

/// Which WireGuard a server uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MeshMode {
    /// The kernel's when it has one, else userspace.
    #[default]
    Auto,
    /// The kernel's.
    Kernel,
    /// In this process, on a TUN device.
    Userspace,
}

/// A WireGuard public key: 32 bytes, written as 44 characters of base64.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(String);

/// The text is not a WireGuard key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a WireGuard key: 32 bytes are 43 characters of base64 and a `=`")]
pub struct PublicKeyError;

impl PublicKey {
    /// The key in base64.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digit = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
        let (digits, padding) = text.split_at_checked(43).ok_or(PublicKeyError)?;
        // The last digit carries 4 bits of the 32nd byte; the 2 below them are zero in the only canonical form.
        let last_is_canonical = digits.bytes().last().is_some_and(|b| b"AEIMQUYcgkosw048".contains(&b));
        let good = padding == "=" && digits.bytes().all(digit) && last_is_canonical;
        if good { Ok(Self(text.to_owned())) } else { Err(PublicKeyError) }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A UDP address as text, `host:port`; the host is a name, an IPv4 address or an IPv6 address in brackets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    host: String,
    port: u16,
}

/// The text is not `host:port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not of the form host:port, [IPv6 address]:port")]
pub struct EndpointError;

impl Endpoint {
    /// Name or address, an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// UDP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = text.rsplit_once(':').ok_or(EndpointError)?;
        let digits = port.bytes().all(|b| b.is_ascii_digit());
        let port = port.parse().ok().filter(|port| digits && *port > 0).ok_or(EndpointError)?;
        let name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
        let host = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
            Some(inner) => inner.parse::<Ipv6Addr>().map_err(|_| EndpointError)?.to_string(),
            None if !host.is_empty() && host.len() <= 253 && host.bytes().all(name) => host.to_owned(),
            None => return Err(EndpointError),
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_44_characters_of_canonical_base64() {
        assert!("xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=".parse::<PublicKey>().is_ok());
        for text in [
            "",
            "dummy_public_key_for_testing",
            "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dh=",
            "é".repeat(22).as_str(),
        ] {
            assert!(text.parse::<PublicKey>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_endpoint_reads_back_as_written() {
        for text in ["203.0.113.1:51820", "[2001:db8::1]:51820", "vpn.example.net:1"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        for text in ["", ":1", "a", "a:", "a:0", "a:65536", "2001:db8::1:5", "[x]:1", "a b:1", "a:+1"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
