//! Interfaces on hosts made of network namespaces.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub use sb_testnet::{Host, eventually, is_root, succeed};
use sb_wireguard::userspace::{CONTROL_DIRECTORY, Configuration, HostAddress, UserspaceInterface};
use sb_wireguard::{AddressesChange, Change, PeerChange, PeerScope, PrivateKey, PublicKey};

pub const PORT: u16 = 51820;
const LIMIT: Duration = Duration::from_secs(15);

/// What takes too long for every day runs when this variable is set.
#[allow(clippy::print_stderr, reason = "a skipped test must say so")]
pub fn is_asked_for(variable: &str) -> bool {
    let is = std::env::var_os(variable).is_some();
    if !is {
        eprintln!("SKIPPED: set {variable} to run this");
    }
    is
}

/// An interface of ours on a host, with its own key.
pub struct Tunnel {
    pub interface: UserspaceInterface,
    pub name: String,
    pub private_key: PrivateKey,
    pub inside: IpAddr,
}

impl Tunnel {
    /// With a key and a port, and without peers.
    pub fn on(host: &Host, inside: &str) -> Self {
        Self::with_key(host, inside, PrivateKey::generate())
    }

    /// The same with this key.
    pub fn with_key(host: &Host, inside: &str, private_key: PrivateKey) -> Self {
        let tunnel = Self { private_key, ..Self::bare(host, inside) };
        let key = Change::PrivateKey(Some(tunnel.private_key.clone()));
        host.run(|| tunnel.interface.apply(&[key, Change::ListenPort(PORT)]).unwrap());
        tunnel
    }

    /// Without key, port and peers.
    pub fn bare(host: &Host, inside: &str) -> Self {
        let name = free_name();
        let inside: IpAddr = inside.parse().unwrap();
        let configuration = Configuration {
            name: name.clone(),
            mtu_bytes: 1420,
            addresses: vec![HostAddress { address: inside, prefix: 24 }],
            control_directory: Some(PathBuf::from(CONTROL_DIRECTORY)),
        };
        let interface = host.run(|| UserspaceInterface::create(&configuration).unwrap());
        Self { interface, name, private_key: PrivateKey::generate(), inside }
    }

    /// What makes the other a peer of this one.
    pub fn peer(&self, other: &Self, endpoint: Option<&str>) -> PeerChange {
        peer_at(other.private_key.public_key(), other.inside, endpoint)
    }

    pub fn meet(&self, other: &Self, endpoint: Option<&str>) {
        self.interface.apply(&[Change::Peer(self.peer(other, endpoint))]).unwrap();
    }
}

/// What makes whoever has this key and this address a peer.
pub fn peer_at(key: PublicKey, inside: IpAddr, endpoint: Option<&str>) -> PeerChange {
    let range = sb_wireguard::AllowedIp::containing(inside, 32).unwrap();
    PeerChange {
        endpoint: endpoint.map(|text| text.parse::<SocketAddr>().unwrap()),
        addresses: Some(AddressesChange::Replace(vec![range])),
        ..PeerChange::new(key, PeerScope::MadeIfMissing)
    }
}

/// Two hosts with a line of these addresses and a tunnel, not yet used.
pub fn two_hosts() -> (Host, Host, Tunnel, Tunnel) {
    let (left, right) = (Host::new(), Host::new());
    left.lay_line(&right, ("line", "192.0.2.1/24"), ("line", "192.0.2.2/24"));
    let (a, b) = (Tunnel::on(&left, "10.9.0.1"), Tunnel::on(&right, "10.9.0.2"));
    a.meet(&b, Some("192.0.2.2:51820"));
    b.meet(&a, Some("192.0.2.1:51820"));
    (left, right, a, b)
}

/// Sends bytes from one host to another and compares what arrives.
pub fn stream(from: &Host, to: &Host, address: &str, bytes: usize) {
    let sent: Vec<u8> = (0..bytes).map(|n| u8::try_from(n * 31 % 251).unwrap()).collect();
    let address: IpAddr = address.parse().unwrap();
    let listener = to.run(|| TcpListener::bind((address, 0)).unwrap());
    let place = listener.local_addr().unwrap();
    let received = std::thread::scope(|scope| {
        let receiver = scope.spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            client.set_read_timeout(Some(LIMIT)).unwrap();
            let mut received = Vec::new();
            client.read_to_end(&mut received).unwrap();
            received
        });
        from.run(|| {
            let mut stream = TcpStream::connect_timeout(&place, LIMIT).unwrap();
            stream.set_write_timeout(Some(LIMIT)).unwrap();
            stream.write_all(&sent).unwrap();
        });
        receiver.join().unwrap()
    });
    assert!(received == sent, "{} of {bytes} bytes arrived, or others", received.len());
}

/// A name that no other test's interface has: their control sockets share a directory.
pub fn free_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("sb{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// `wg` with these words.
pub fn wg(words: &[&str]) -> String {
    succeed(Command::new("wg").args(words))
}
