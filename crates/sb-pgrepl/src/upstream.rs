use std::net::IpAddr;

use sb_topology::ServerName;

use crate::SlotName;

/// A server to copy or stream from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its name, which its TLS certificate must carry as a DNS name.
    pub server: ServerName,
    /// Its address in the mesh.
    pub address: IpAddr,
    /// PostgreSQL's port there.
    pub port: u16,
    /// The slot to use there, which must exist; [`None`] when the upstream keeps none for this server (a standby).
    pub slot: Option<SlotName>,
}
