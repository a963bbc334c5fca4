//! How this server's PostgreSQL should be configured, from the topology.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use sb_pgrepl::{
    Application, ClientAccess, ClientNetwork, ClientRow, Desired, Secret, SlotName, SqlName, SqlNameError,
    Upstream, wal_budget_mib,
};
use sb_pgtypes::SystemIdentifier;
use sb_topology::{PostgresPlacement, Server, ServerName, Topology};

/// The configuration of `me`, with the client rows in or out of force. `operators` are the mesh addresses of people's
/// machines that may enter the mesh.
///
/// # Errors
/// When the application's role or database has a name that PostgreSQL's files cannot carry.
pub fn desired(
    topology: &Topology,
    me: &Server,
    system_identifier: Option<SystemIdentifier>,
    settings: &BTreeMap<String, String>,
    data_dir: &Path,
    (client_access, operators): (ClientAccess, &[IpAddr]),
) -> Result<Desired, SqlNameError> {
    let peers = topology.servers().filter(|s| s.name != me.name).map(|s| s.mesh_address).collect();
    Ok(Desired {
        system_identifier,
        listen: vec![me.mesh_address],
        peers,
        client_access,
        client_rows: client_rows(topology, operators)?,
        settings: settings.clone(),
        slot_wal_mib_max: slot_wal_mib_max(data_dir),
    })
}

/// The application may come from every site's part of the mesh and from operators' machines: its role, its database, nothing
/// else.
fn client_rows(topology: &Topology, operators: &[IpAddr]) -> Result<Vec<ClientRow>, SqlNameError> {
    let database = SqlName::new(topology.database().database.clone())?;
    let role = SqlName::new(topology.database().username.clone())?;
    let row = |from| ClientRow { database: database.clone(), role: role.clone(), from };
    let subnets = topology.sites().iter().filter_map(|site| site.subnet);
    let networks = subnets.filter_map(|s| ClientNetwork::new(s.address(), s.prefix()).ok());
    let hosts = topology.servers().map(|s| s.mesh_address).chain(operators.iter().copied());
    Ok(networks.chain(hosts.map(ClientNetwork::host)).map(row).collect())
}

/// What slots may keep, by the space of the data directory's disk. A disk that does not tell gets the smallest.
fn slot_wal_mib_max(data_dir: &Path) -> u64 {
    let place = data_dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let Ok(disk) = rustix::fs::statvfs(place) else { return wal_budget_mib(0, 0) };
    wal_budget_mib(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)
}

/// The application's role and database.
///
/// # Errors
/// When a name is one that PostgreSQL's files cannot carry.
pub fn application(topology: &Topology, password: &str) -> Result<Application, SqlNameError> {
    Ok(Application {
        owner: SqlName::new(topology.database().username.clone())?,
        password: Secret::new(password),
        database: SqlName::new(topology.database().database.clone())?,
    })
}

/// Who keeps a slot for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The upstream is the primary: it keeps one for every member.
    Kept,
    /// The upstream is a standby: it keeps none.
    None,
}

/// `source` as something that `me` can stream from; [`None`] when it has no PostgreSQL here and now.
#[must_use]
pub fn upstream(topology: &Topology, source: &ServerName, me: &ServerName, slot: Slot) -> Option<Upstream> {
    let server = topology.server(source)?;
    let PostgresPlacement::Here { port, .. } = server.postgres else { return None };
    let slot = match slot {
        Slot::Kept => Some(SlotName::for_server(me)),
        Slot::None => None,
    };
    Some(Upstream { server: source.clone(), address: server.mesh_address, port, slot })
}

/// The server at a mesh address.
#[must_use]
pub fn server_at(topology: &Topology, address: IpAddr) -> Option<&ServerName> {
    topology.servers().find(|s| s.mesh_address == address).map(|s| &s.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATABASE: &[u8] =
        br#"{"host":"10.0.1.1","port":5432,"database":"show","username":"app","password":"x","ssl":true}"#;

    const SITES: &[u8] = br#"{
        "ravena": {"ip": "203.0.113.1", "wireguardIp": "10.0.1.1", "subnet": "10.0.1.0/24", "enabled": true,
                   "replicationMode": "async", "role": "primary"},
        "tucson": {"ip": "203.0.113.2", "wireguardIp": "10.0.5.1", "enabled": true,
                   "replicationMode": "async", "role": "replica"}
    }"#;

    #[test]
    fn an_operator_comes_in_from_its_own_address_and_as_the_application_only() {
        let documents = sb_topology::Documents {
            database: Some(DATABASE),
            sites: Some(SITES),
            ..sb_topology::Documents::default()
        };
        let topology = sb_topology::load(documents).unwrap().topology;
        let rows = |operators: &[&str]| -> Vec<String> {
            let operators: Vec<IpAddr> = operators.iter().map(|text| text.parse().unwrap()).collect();
            let rows = client_rows(&topology, &operators).unwrap();
            rows.iter().map(|row| format!("{:?} {:?} {}", row.database, row.role, row.from)).collect()
        };
        let without = rows(&[]);
        let with = rows(&["10.0.9.7"]);
        assert_eq!(with[..without.len()], without);
        let [one] = &with[without.len()..] else { panic!("{with:?}") };
        assert!(one.contains("show") && one.contains("app") && one.ends_with(" 10.0.9.7/32"), "{one}");
    }
}
