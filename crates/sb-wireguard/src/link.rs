//! A network interface as the kernel routes with it: its addresses, its size of packets, the routes into it.
//!
//! Userspace and kernel WireGuard interfaces differ in who encrypts, not in this.

use std::collections::BTreeMap;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteProtocol, RouteScope,
    RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;

use crate::AllowedIp;
use crate::netlink::{Channel, NetlinkError};

/// An act on a network interface that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// There is no such interface.
    #[error("there is no network interface `{0}`")]
    Missing(String),
    /// The kernel did not answer as asked.
    #[error("could not {act} network interface `{name}`")]
    Netlink {
        /// What was tried.
        act: &'static str,
        /// Which interface.
        name: String,
        /// Why not.
        source: NetlinkError,
    },
}

/// What an interface is for the kernel's routing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkState {
    /// Largest packet, in bytes.
    pub mtu: u32,
    /// Whether it carries packets.
    pub is_up: bool,
    /// Its own addresses with the length of their prefix, in bits; the link-local ones that the kernel makes are not
    /// among them.
    pub addresses: BTreeMap<IpAddr, u8>,
    /// What is sent into it by a route of ours, with the largest packet in bytes where the route takes less than the
    /// interface.
    pub routes: BTreeMap<AllowedIp, Option<u32>>,
}

/// Handle on one interface of the network namespace in which it was opened.
pub struct Link {
    name: String,
    index: u32,
    channel: Channel,
}

impl Link {
    /// Makes a WireGuard interface of the kernel.
    ///
    /// # Errors
    /// The kernel's refusal: `EOPNOTSUPP` without the module, `EEXIST`, `EPERM`.
    pub fn make_wireguard(name: &str) -> Result<(), LinkError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Wireguard)]));
        let failed = |source| LinkError::Netlink { act: "make", name: name.to_owned(), source };
        let mut channel = Channel::open(NETLINK_ROUTE).map_err(failed)?;
        channel.alter(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL).map_err(failed)
    }

    /// Removes an interface of any kind; no effect when there is none.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn remove(name: &str) -> Result<(), LinkError> {
        let mut link = match Self::open(name) {
            Err(LinkError::Missing(_)) => return Ok(()),
            opened => opened?,
        };
        let message = link.message();
        link.alter("remove", RouteNetlinkMessage::DelLink(message), 0)
    }

    /// Opens an interface that is there.
    ///
    /// # Errors
    /// [`LinkError::Missing`] when it is not.
    pub fn open(name: &str) -> Result<Self, LinkError> {
        let failed = |source| LinkError::Netlink { act: "look for", name: name.to_owned(), source };
        let mut channel = Channel::open(NETLINK_ROUTE).map_err(failed)?;
        let mut question = LinkMessage::default();
        question.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let answers = channel.ask(RouteNetlinkMessage::GetLink(question)).map_err(|error| {
            match error.is(libc::ENODEV) {
                true => LinkError::Missing(name.to_owned()),
                false => failed(error),
            }
        })?;
        let index = answers.iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(link) => Some(link.header.index),
            _ => None,
        });
        let index = index.ok_or_else(|| LinkError::Missing(name.to_owned()))?;
        Ok(Self { name: name.to_owned(), index, channel })
    }

    /// What it is now.
    ///
    /// # Errors
    /// When it is gone, or the kernel does not answer.
    pub fn observe(&mut self) -> Result<LinkState, LinkError> {
        let mut state = LinkState::default();
        for answer in self.ask(RouteNetlinkMessage::GetLink(self.message()))? {
            if let RouteNetlinkMessage::NewLink(link) = answer {
                state.is_up = link.header.flags.contains(LinkFlags::Up);
                state.mtu = mtu(&link).unwrap_or_default();
            }
        }
        for answer in
            self.dump("list the addresses of", RouteNetlinkMessage::GetAddress(AddressMessage::default()))?
        {
            if let RouteNetlinkMessage::NewAddress(address) = answer
                && address.header.index == self.index
            {
                state.addresses.extend(address_of(&address).filter(|(address, _)| !is_link_local(*address)));
            }
        }
        for answer in
            self.dump("list the routes of", RouteNetlinkMessage::GetRoute(RouteMessage::default()))?
        {
            if let RouteNetlinkMessage::NewRoute(route) = answer {
                state.routes.extend(self.route_of(&route));
            }
        }
        Ok(state)
    }

    /// Makes it carry packets of up to `mtu` bytes.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn bring_up(&mut self, mtu: u32) -> Result<(), LinkError> {
        let mut message = self.message();
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        message.attributes.push(LinkAttribute::Mtu(mtu));
        self.alter("bring up", RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Gives it an address of its own, with nothing else behind it; no effect when it has it.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn add_address(&mut self, address: IpAddr) -> Result<(), LinkError> {
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let message = RouteNetlinkMessage::NewAddress(self.address_message(address, whole));
        self.alter("give an address to", message, NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Takes an address with a prefix of so many bits away; no effect when it does not have it.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn remove_address(&mut self, address: IpAddr, prefix: u8) -> Result<(), LinkError> {
        let message = RouteNetlinkMessage::DelAddress(self.address_message(address, prefix));
        absent_is_fine(self.alter("take an address from", message, 0), libc::EADDRNOTAVAIL)
    }

    /// Sends packets to this range into it: of up to `mtu` bytes, or of what the interface takes where [`None`] is said.
    /// A route that is there already takes the new size.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn add_route(&mut self, range: AllowedIp, mtu: Option<u32>) -> Result<(), LinkError> {
        let mut message = self.route_message(range);
        message.attributes.extend(mtu.map(|bytes| RouteAttribute::Metrics(vec![RouteMetric::Mtu(bytes)])));
        self.alter("route into", RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Sends them there no more; no effect when they are not.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn remove_route(&mut self, range: AllowedIp) -> Result<(), LinkError> {
        let message = RouteNetlinkMessage::DelRoute(self.route_message(range));
        absent_is_fine(self.alter("remove a route from", message, 0), libc::ESRCH)
    }

    fn message(&self) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = self.index;
        message
    }

    fn address_message(&self, address: IpAddr, prefix: u8) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.family = family(address);
        message.header.prefix_len = prefix;
        message.header.index = self.index;
        message.attributes.push(AddressAttribute::Local(address));
        message.attributes.push(AddressAttribute::Address(address));
        message
    }

    fn route_message(&self, range: AllowedIp) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = family(range.address());
        message.header.destination_prefix_length = range.prefix();
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.scope = RouteScope::Link;
        message.header.kind = RouteType::Unicast;
        let destination = match range.address() {
            IpAddr::V4(address) => RouteAddress::Inet(address),
            IpAddr::V6(address) => RouteAddress::Inet6(address),
        };
        message.attributes.push(RouteAttribute::Destination(destination));
        message.attributes.push(RouteAttribute::Oif(self.index));
        message
    }

    /// The range of a route of ours into this interface, and its size of packets where it has one. The kernel's own
    /// (for an address) are not ours.
    fn route_of(&self, route: &RouteMessage) -> Option<(AllowedIp, Option<u32>)> {
        let ours = route.header.protocol == RouteProtocol::Static
            && route.header.table == RouteHeader::RT_TABLE_MAIN;
        let here = route.attributes.contains(&RouteAttribute::Oif(self.index));
        let destination = route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
            RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
            _ => None,
        });
        let range = AllowedIp::containing(destination?, route.header.destination_prefix_length).ok()?;
        (ours && here).then(|| (range, route_mtu(route)))
    }

    fn alter(
        &mut self,
        act: &'static str,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<(), LinkError> {
        let done = self.channel.alter(message, flags);
        done.map_err(|source| self.failed(act, source))
    }

    fn ask(&mut self, message: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>, LinkError> {
        let answers = self.channel.ask(message);
        answers.map_err(|source| self.failed("look at", source))
    }

    fn dump(
        &mut self,
        act: &'static str,
        message: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, LinkError> {
        let answers = self.channel.dump(message);
        answers.map_err(|source| self.failed(act, source))
    }

    fn failed(&self, act: &'static str, source: NetlinkError) -> LinkError {
        match source.is(libc::ENODEV) {
            true => LinkError::Missing(self.name.clone()),
            false => LinkError::Netlink { act, name: self.name.clone(), source },
        }
    }
}

fn absent_is_fine(done: Result<(), LinkError>, absent: i32) -> Result<(), LinkError> {
    match done {
        Err(LinkError::Netlink { source, .. }) if source.is(absent) => Ok(()),
        other => other,
    }
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

fn mtu(link: &LinkMessage) -> Option<u32> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Mtu(bytes) => Some(*bytes),
        _ => None,
    })
}

fn route_mtu(route: &RouteMessage) -> Option<u32> {
    let metrics = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Metrics(metrics) => Some(metrics),
        _ => None,
    });
    metrics?.iter().find_map(|metric| match metric {
        RouteMetric::Mtu(bytes) => Some(*bytes),
        _ => None,
    })
}

/// For IPv4 the local address counts, which differs from the other one on a point-to-point interface.
fn address_of(message: &AddressMessage) -> Option<(IpAddr, u8)> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let plain = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    });
    Some((local.or(plain)?, message.header.prefix_len))
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}
