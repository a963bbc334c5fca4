//! Ports that are cut between servers. It is done by the packet filter of each server's own namespace, where packets are
//! readable: what crosses the wide-area network is encrypted when the mesh is on.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::namespace::enter;
use crate::place::Place;

/// The lab's own table; the servers' programs have others.
const TABLE: &str = "inet sb_lab";

/// The ports that are cut, in the namespaces of all servers.
#[derive(Debug)]
pub(crate) struct PortCuts {
    namespaces: Vec<File>,
    ports: Mutex<BTreeSet<u16>>,
}

impl PortCuts {
    /// No port is cut.
    pub(crate) fn new(namespaces: Vec<File>) -> Self {
        Self { namespaces, ports: Mutex::default() }
    }

    /// Drops what belongs to this TCP or UDP port, whichever side has it, between all servers.
    pub(crate) fn cut(&self, port: u16) -> io::Result<()> {
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = ports.iter().copied().chain([port]).collect();
        self.load(&rules(&wanted))?;
        *ports = wanted;
        Ok(())
    }

    /// Lets everything pass.
    pub(crate) fn heal(&self) -> io::Result<()> {
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        if !ports.is_empty() {
            self.load(&format!("delete table {TABLE}\n"))?;
            ports.clear();
        }
        Ok(())
    }

    /// Which they are.
    pub(crate) fn ports(&self) -> BTreeSet<u16> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One transaction a namespace, all at once.
    fn load(&self, rules: &str) -> io::Result<()> {
        std::thread::scope(|scope| {
            let loading = |namespace| scope.spawn(move || load_inside(namespace, rules));
            let threads: Vec<_> = self.namespaces.iter().map(loading).collect();
            let panicked = |_| Err(io::Error::other("the thread that runs `nft` panicked"));
            threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(panicked))
        })
    }
}

fn load_inside(namespace: &File, rules: &str) -> io::Result<()> {
    enter(namespace.as_fd())?;
    let mut nft = Command::new("nft");
    let mut nft = nft.args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut input) = nft.stdin.take() {
        input.write_all(rules.as_bytes())?;
    }
    let output = nft.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("nft: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

/// Servers are known by both of their addresses: 51820 is a port of the outside, PostgreSQL's one of the inside.
fn rules(ports: &BTreeSet<u16>) -> String {
    let servers = || Place::servers().flat_map(|place| [place.address(), place.public_address()]);
    let from_servers =
        format!("add rule {TABLE} input iifname != \"lo\" ip saddr @servers meta l4proto {{ tcp, udp }}");
    [
        format!("add table {TABLE}"),
        format!("delete table {TABLE}"),
        format!("add table {TABLE}"),
        format!(
            "add set {TABLE} servers {{ type ipv4_addr; elements = {{ {} }}; }}",
            listed::<Ipv4Addr>(servers())
        ),
        format!("add set {TABLE} ports {{ type inet_service; elements = {{ {} }}; }}", listed(ports.iter())),
        format!("add chain {TABLE} input {{ type filter hook input priority raw; policy accept; }}"),
        format!("{from_servers} th dport @ports drop"),
        format!("{from_servers} th sport @ports drop\n"),
    ]
    .join("\n")
}

fn listed<T: Display>(elements: impl Iterator<Item = T>) -> String {
    elements.map(|element| element.to_string()).collect::<Vec<_>>().join(", ")
}
