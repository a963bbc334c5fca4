//! Whether the mesh holds together when a part of it is lost.
//!
//! Packets are followed through the configured addresses as WireGuard would carry them: to the peer that owns the
//! destination, and on from there only when that peer's own configuration accepts the source from where it came. So a
//! network in which everybody talks through one server is found out, and so is a relay of which one end knows nothing.

use std::fmt;
use std::net::IpAddr;

use sb_topology::{ServerName, SiteName, Topology};

use crate::{DesiredInterface, DesiredPeer};

/// What is taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: as it is configured.
    Nothing,
    /// One server.
    Server(ServerName),
    /// All servers of a site.
    Site(SiteName),
}

/// Two servers that do not reach each other although both are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Separation {
    /// After what.
    pub without: Loss,
    /// Who sends.
    pub from: ServerName,
    /// Who does not get it.
    pub to: ServerName,
}

/// Every pair that is parted now, or by the loss of one server or site. `interfaces` are those of all servers of the
/// topology.
#[must_use]
pub fn lint(topology: &Topology, interfaces: &[DesiredInterface]) -> Vec<Separation> {
    let servers = interfaces.iter().map(|interface| Loss::Server(interface.server.clone()));
    let sites = topology.sites().iter().map(|site| Loss::Site(site.name.clone()));
    let losses = [Loss::Nothing].into_iter().chain(servers).chain(sites);
    losses.flat_map(|loss| separations(topology, interfaces, &loss)).collect()
}

fn separations(topology: &Topology, interfaces: &[DesiredInterface], loss: &Loss) -> Vec<Separation> {
    let left: Vec<_> = interfaces.iter().filter(|it| survives(topology, &it.server, loss)).collect();
    let pairs = left.iter().flat_map(|from| left.iter().map(move |to| (*from, *to)));
    let parted = pairs.filter(|(from, to)| from.server != to.server && !reaches(&left, from, to));
    parted
        .map(|(from, to)| Separation {
            without: loss.clone(),
            from: from.server.clone(),
            to: to.server.clone(),
        })
        .collect()
}

fn survives(topology: &Topology, server: &ServerName, loss: &Loss) -> bool {
    match loss {
        Loss::Nothing => true,
        Loss::Server(lost) => lost != server,
        Loss::Site(lost) => topology.site_of(server).is_none_or(|site| site.name != *lost),
    }
}

/// Follows a packet; more hops than servers is a circle.
fn reaches(left: &[&DesiredInterface], from: &DesiredInterface, to: &DesiredInterface) -> bool {
    let (source, destination) = (from.address.address(), to.address.address());
    let mut at = from;
    for _ in left {
        if at.server == to.server {
            return true;
        }
        let Some(peer) = owner(at, destination) else { return false };
        let Some(next) = left.iter().find(|other| other.server == peer.name) else { return false };
        let Some(back) = owner(next, source).filter(|back| back.name == at.server) else { return false };
        if peer.endpoints.is_empty() && back.endpoints.is_empty() {
            return false;
        }
        at = next;
    }
    at.server == to.server
}

/// The peer whose longest range holds the address.
fn owner(interface: &DesiredInterface, address: IpAddr) -> Option<&DesiredPeer> {
    let ranges =
        interface.peers.iter().flat_map(|peer| peer.addresses.iter().map(move |range| (range, peer)));
    let holding = ranges.filter(|(range, _)| range.contains(address));
    holding.max_by_key(|(range, _)| range.prefix()).map(|(_, peer)| peer)
}

impl fmt::Display for Separation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` does not reach `{}`", self.from, self.to)?;
        match &self.without {
            Loss::Nothing => Ok(()),
            Loss::Server(server) => write!(f, " once `{server}` is lost"),
            Loss::Site(site) => write!(f, " once site `{site}` is lost"),
        }
    }
}
