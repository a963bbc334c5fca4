use std::net::IpAddr;

use sb_topology::{ServerName, SiteName};

use crate::state::Secret;

/// What bundles are made from: the part of a topology that trust depends on.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// A name that a person can type.
    pub name: String,
    /// Every server.
    pub servers: Vec<ClusterServer>,
    /// The one that starts the store.
    pub bootstrap: ServerName,
    /// The application's password, when it has one already.
    pub owner_password: Option<Secret>,
}

/// One server, as its certificate describes it.
#[derive(Debug, Clone)]
pub struct ClusterServer {
    /// Its name.
    pub name: ServerName,
    /// Its site.
    pub site: SiteName,
    /// Addresses at which it proves to be itself: the mesh address, and the public one if it is called there.
    pub addresses: Vec<IpAddr>,
}
