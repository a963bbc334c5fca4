use std::net::IpAddr;
use std::path::PathBuf;

use crate::{Endpoint, PublicKey, ServerName, SiteName};

/// One machine with an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its name, unique in the cluster; also its `application_name` at PostgreSQL.
    pub name: ServerName,
    /// Where it stands.
    pub site: SiteName,
    /// Its public address.
    pub ip: Option<IpAddr>,
    /// Its address in the site's own network, by which the site's other servers reach its WireGuard first.
    pub lan_ip: Option<IpAddr>,
    /// Its address inside the mesh (`wireguardIp`), on which every service of ours listens.
    pub mesh_address: IpAddr,
    /// Its WireGuard key; [`None`] until the server has made one.
    pub public_key: Option<PublicKey>,
    /// Where its WireGuard is reached, when that is not `ip` with the listen port.
    pub endpoint: Option<Endpoint>,
    /// Whether and where it runs PostgreSQL.
    pub postgres: PostgresPlacement,
    /// Set when the operator overrides the rule that chooses voters.
    pub voter: Option<bool>,
}

impl Server {
    /// Whether it runs PostgreSQL; a server that does not is a witness.
    #[must_use]
    pub fn has_postgres(&self) -> bool {
        matches!(self.postgres, PostgresPlacement::Here { .. })
    }
}

/// Whether and where a server runs PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostgresPlacement {
    /// On this server.
    Here {
        /// Port on the mesh address.
        port: u16,
        /// Data directory; [`None`] for the agent's own (`pgdata` in its state directory).
        data_dir: Option<PathBuf>,
    },
    /// A witness: an agent that takes part in the store and has no database.
    Nowhere,
}

impl PostgresPlacement {
    /// PostgreSQL's own port.
    pub const PORT_DEFAULT: u16 = 5432;

    /// The port, on a server that runs PostgreSQL.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Here { port, .. } => Some(*port),
            Self::Nowhere => None,
        }
    }
}

impl Default for PostgresPlacement {
    fn default() -> Self {
        Self::Here { port: Self::PORT_DEFAULT, data_dir: None }
    }
}
