//! What the packet filter lets through: the services of a server only from members, and only through the tunnel.
//!
//! The rules are in a table of their own, `inet sb_mesh`, replaced as a whole in one transaction. They drop and never
//! accept on behalf of others: a packet that passes here still meets every other table.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use sb_topology::{NetworkSettings, Topology};

use super::forwarding;
use crate::health_ports::{AGENT_CHECK_PORT, HEALTH_PORT};
use crate::nft::{self, NftError};

const TABLE: &str = "sb_mesh";

const HEALTH_PORTS: [u16; 2] = [HEALTH_PORT, AGENT_CHECK_PORT];

/// The packet filter of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firewall {
    /// Name of the tunnel's interface.
    pub interface: String,
    /// TCP ports that only members reach.
    pub ports: BTreeSet<u16>,
    /// Addresses of the members: servers and operators.
    pub members: BTreeSet<IpAddr>,
    /// From whom to whom packets are passed on that came in through the tunnel and leave through it: both ways of every
    /// pair that this server carries.
    pub carried: BTreeSet<(IpAddr, IpAddr)>,
}

impl Firewall {
    /// What a server's services need: every server and operator is a member.
    #[must_use]
    pub fn of(topology: &Topology, settings: &NetworkSettings) -> Self {
        let services = [sb_client::PEER_PORT, sb_client::API_PORT].into_iter().chain(HEALTH_PORTS);
        let databases = topology.servers().filter_map(|server| server.postgres.port());
        let operators = settings.operators.iter().map(|operator| operator.mesh_address);
        Self {
            interface: settings.interface.clone(),
            ports: services.chain(databases).collect(),
            members: topology.servers().map(|server| server.mesh_address).chain(operators).collect(),
            carried: BTreeSet::new(),
        }
    }

    /// Puts the rules in force, in one transaction.
    ///
    /// # Errors
    /// When `nft` is missing, is not permitted or refuses; nothing has changed then.
    pub async fn install(&self) -> Result<(), NftError> {
        nft::load(&self.rules()).await
    }

    /// Takes the rules away. Not having been installed is no error.
    ///
    /// # Errors
    /// As [`Firewall::install`].
    pub async fn uninstall() -> Result<(), NftError> {
        nft::load(&format!("add table inet {TABLE}\ndelete table inet {TABLE}\n")).await
    }

    /// Takes away what an earlier mesh of this host has left: the rules, and the forwarding of its interface, which may have
    /// carried others' packets when its agent ended. Without rules of ours the interface is somebody else's.
    ///
    /// # Errors
    /// As [`Firewall::install`].
    pub async fn withdraw(interface: &str) -> Result<(), NftError> {
        if nft::load(&format!("list table inet {TABLE}\n")).await.is_ok() {
            // Forwarding first: without the rules more would be passed on than before.
            if let Err(error) = forwarding::withdraw(interface) {
                tracing::warn!(%error, interface, "it may go on passing packets on");
            }
        }
        Self::uninstall().await
    }

    /// Loopback passes: the server's own programs reach it over its mesh address that way.
    fn rules(&self) -> String {
        let (four, six): (Vec<IpAddr>, Vec<IpAddr>) =
            self.members.iter().partition(|address| address.is_ipv4());
        let mut rules =
            format!("add table inet {TABLE}\ndelete table inet {TABLE}\nadd table inet {TABLE}\n");
        let mut line =
            |text: std::fmt::Arguments<'_>| writeln!(rules, "add {text}").expect("a string takes any text");
        line(format_args!("set inet {TABLE} members4 {{ type ipv4_addr; {} }}", elements(&four)));
        line(format_args!("set inet {TABLE} members6 {{ type ipv6_addr; {} }}", elements(&six)));
        let (four, six) = (self.carried(IpAddr::is_ipv4), self.carried(IpAddr::is_ipv6));
        line(format_args!("set inet {TABLE} carried4 {{ type ipv4_addr . ipv4_addr; {four} }}"));
        line(format_args!("set inet {TABLE} carried6 {{ type ipv6_addr . ipv6_addr; {six} }}"));
        let ports: Vec<u16> = self.ports.iter().copied().collect();
        line(format_args!("set inet {TABLE} services {{ type inet_service; {} }}", elements(&ports)));
        line(format_args!(
            "chain inet {TABLE} input {{ type filter hook input priority filter; policy accept; }}"
        ));
        line(format_args!("rule inet {TABLE} input tcp dport != @services accept"));
        line(format_args!("rule inet {TABLE} input iifname \"lo\" accept"));
        let tunnel = &self.interface;
        line(format_args!("rule inet {TABLE} input iifname \"{tunnel}\" ip saddr @members4 accept"));
        line(format_args!("rule inet {TABLE} input iifname \"{tunnel}\" ip6 saddr @members6 accept"));
        line(format_args!("rule inet {TABLE} input meta l4proto tcp counter drop"));
        line(format_args!("rule inet {TABLE} input udp dport {} counter drop", sb_client::PROBE_PORT));
        line(format_args!(
            "chain inet {TABLE} forward {{ type filter hook forward priority filter; policy accept; }}"
        ));
        // From peer to peer goes what this server carries and nothing else, also of connections that are there already.
        let between = format!("rule inet {TABLE} forward iifname \"{tunnel}\" oifname \"{tunnel}\"");
        line(format_args!("{between} ip saddr . ip daddr @carried4 accept"));
        line(format_args!("{between} ip6 saddr . ip6 daddr @carried6 accept"));
        line(format_args!("{between} counter drop"));
        // A container's answers come back through the tunnel to an address of its bridge.
        line(format_args!("rule inet {TABLE} forward ct state established,related accept"));
        line(format_args!("rule inet {TABLE} forward iifname \"{tunnel}\" counter drop"));
        rules
    }

    /// The pairs of addresses of one family, as an nft set's elements.
    fn carried(&self, family: fn(&IpAddr) -> bool) -> String {
        let pairs = self.carried.iter().filter(|(from, to)| family(from) && family(to));
        let pairs: Vec<String> = pairs.map(|(from, to)| format!("{from} . {to}")).collect();
        elements(&pairs)
    }
}

fn elements<T: ToString>(elements: &[T]) -> String {
    let listed: Vec<String> = elements.iter().map(T::to_string).collect();
    if listed.is_empty() { String::new() } else { format!("elements = {{ {} }};", listed.join(", ")) }
}
