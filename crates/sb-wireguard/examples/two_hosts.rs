//! One end of a tunnel between two hosts; the same on the other end, with the addresses exchanged:
//!
//! ```text
//! two_hosts KEY-FILE 10.9.0.1/24                                                   prints this host's public key
//! two_hosts KEY-FILE 10.9.0.1/24 10.9.0.2 PUBLIC-KEY-OF-THE-OTHER 198.51.100.7:51820       serves the tunnel
//! ```
//!
//! The key is made at the first call and stays on its host. It needs the capability NET_ADMIN, and nothing installed.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use sb_wireguard::userspace::{CONTROL_DIRECTORY, Configuration, HostAddress, UserspaceInterface};
use sb_wireguard::{AddressesChange, AllowedIp, Change, PeerChange, PeerScope, PrivateKey};

const PORT: u16 = 51820;
const MTU_BYTES: u16 = 1420;
const KEEPALIVE_SECONDS: u16 = 25;
const REPORT_EVERY: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut out = std::io::stdout();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [key_file, _] => Ok(writeln!(out, "{}", private_key(key_file)?.public_key())?),
        [key_file, own, other, public_key, endpoint] => {
            let interface = UserspaceInterface::create(&configuration(own)?)?;
            interface.apply(&[
                Change::PrivateKey(Some(private_key(key_file)?)),
                Change::ListenPort(PORT),
                Change::Peer(peer(other, public_key, endpoint)?),
            ])?;
            loop {
                std::thread::sleep(REPORT_EVERY);
                for peer in interface.observe().peers {
                    let (sent, received) = (peer.sent_bytes, peer.received_bytes);
                    let state = peer.last_handshake.map_or("no handshake yet", |_| "connected");
                    writeln!(out, "{}: {state}, {sent} bytes sent, {received} received", peer.public_key)?;
                }
            }
        }
        _ => Err("usage: two_hosts KEY-FILE OWN-ADDRESS/PREFIX [OTHER-ADDRESS PUBLIC-KEY ENDPOINT]".into()),
    }
}

fn configuration(own: &str) -> Result<Configuration, Box<dyn Error>> {
    let (address, prefix) = own.split_once('/').ok_or("an address has the form 10.9.0.1/24")?;
    Ok(Configuration {
        name: "two-hosts".into(),
        mtu_bytes: MTU_BYTES,
        addresses: vec![HostAddress { address: address.parse()?, prefix: prefix.parse()? }],
        control_directory: Some(PathBuf::from(CONTROL_DIRECTORY)),
    })
}

fn peer(address: &str, public_key: &str, endpoint: &str) -> Result<PeerChange, Box<dyn Error>> {
    let address: IpAddr = address.parse()?;
    let range = AllowedIp::containing(address, if address.is_ipv4() { 32 } else { 128 })?;
    Ok(PeerChange {
        endpoint: Some(endpoint.parse()?),
        keepalive_seconds: Some(KEEPALIVE_SECONDS),
        addresses: Some(AddressesChange::Replace(vec![range])),
        ..PeerChange::new(public_key.parse()?, PeerScope::MadeIfMissing)
    })
}

fn private_key(file: &str) -> Result<PrivateKey, Box<dyn Error>> {
    if !fs::exists(file)? {
        let mut made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        writeln!(made, "{}", PrivateKey::generate().expose_base64().as_str())?;
    }
    Ok(PrivateKey::from_base64(&fs::read_to_string(file)?)?)
}
