//! The mesh as every server says it is.

use std::collections::BTreeMap;

use sb_api::{Mesh, MeshServer};
use sb_topology::ServerName;

use super::Agent;
use crate::mesh::Knowledge;
use crate::peers::{STALE_MS, Word};

impl Agent {
    /// A server that has not answered lately says nothing: how it saw the mesh before is no answer.
    pub(super) fn mesh_of_all(&self, peers: &BTreeMap<ServerName, Word>) -> Mesh {
        let fresh = |name: &ServerName| {
            peers.get(name).filter(|word| word.heard.elapsed().as_millis() < u128::from(STALE_MS))
        };
        let mut servers: Vec<MeshServer> = self
            .topology
            .servers()
            .map(|server| {
                let word = fresh(&server.name);
                let own = server.name == self.me.name;
                let said = || word.and_then(|word| word.status.mesh.clone());
                MeshServer {
                    name: server.name.to_string(),
                    mesh: if own { self.mesh.as_ref().and_then(Knowledge::status) } else { said() },
                    round_trip_us: word.and_then(|word| u64::try_from(word.round_trip.as_micros()).ok()),
                }
            })
            .collect();
        servers.sort_by(|a, b| a.name.cmp(&b.name));
        Mesh { observer: self.me.name.to_string(), servers }
    }
}
