//! Makes an interface and serves it until its standard input ends; `wg` does the rest:
//! `cargo run -p sb-wireguard --example interface -- wg0 10.9.0.1/24`.

use std::error::Error;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::path::PathBuf;

use sb_wireguard::userspace::{CONTROL_DIRECTORY, Configuration, HostAddress, UserspaceInterface};

/// What fits through any line that carries IPv6.
const MTU_BYTES: u16 = 1420;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().ok_or("usage: interface NAME [ADDRESS/PREFIX...]")?;
    let configuration = Configuration {
        name,
        mtu_bytes: MTU_BYTES,
        addresses: arguments.map(|text| host_address(&text)).collect::<Result<_, _>>()?,
        control_directory: Some(PathBuf::from(CONTROL_DIRECTORY)),
    };
    let interface = UserspaceInterface::create(&configuration)?;
    writeln!(std::io::stdout(), "{}", interface.observe().listen_port)?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn host_address(text: &str) -> Result<HostAddress, Box<dyn Error>> {
    let (address, prefix) = text.split_once('/').ok_or("an address has the form 10.9.0.1/24")?;
    Ok(HostAddress { address: address.parse::<IpAddr>()?, prefix: prefix.parse()? })
}
