use std::net::IpAddr;

use sb_topology::{ServerName, SiteName, Topology};

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

impl Cluster {
    /// What bundles need of a checked topology: every server, called at its mesh address; the first server of the
    /// primary site starts the store.
    #[must_use]
    pub fn of(name: impl Into<String>, topology: &Topology) -> Self {
        let server = |server: &sb_topology::Server| ClusterServer {
            name: server.name.clone(),
            site: server.site.clone(),
            addresses: vec![server.mesh_address],
        };
        let password = &topology.database().password;
        Self {
            name: name.into(),
            servers: topology.servers().map(server).collect(),
            bootstrap: topology.initial_primary().name.clone(),
            owner_password: (!password.is_empty()).then(|| Secret::new(password.reveal().to_owned())),
        }
    }
}
