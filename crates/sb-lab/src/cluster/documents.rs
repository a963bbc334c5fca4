//! The documents of the lab's cluster, as an operator would write them.

use serde_json::{Value, json};

use super::etcd;
use super::mesh::MeshKeys;
use crate::layout::Duty;
use crate::options::{LabOptions, StoreChoice};
use crate::place::Place;

/// The application's database.
pub const DATABASE: &str = "show_build";

/// The role that owns it.
pub const OWNER: &str = "show_build";

/// PostgreSQL's port on every server.
pub const PORT: u16 = 5432;

/// Where the cluster is first started.
const PRIMARY_SITE: &str = "ravena";

/// Sites in the order of preference, with their names for people.
const SITES: [(&str, &str); 5] = [
    ("ravena", "Ravena, NY"),
    ("burlington", "Burlington, VT"),
    ("montpelier", "Montpelier, VT"),
    ("nantucket", "Nantucket, MA"),
    ("tucson", "Tucson, AZ"),
];

/// The server that starts the cluster.
pub(super) fn bootstrap() -> Place {
    Place::servers().next().expect("the lab has servers")
}

/// The document that is another on every server when the mesh is on.
pub(super) const NETWORK: &str = "network.json";

/// File names and contents.
pub(super) fn all(options: &LabOptions, keys: &MeshKeys, password: &str) -> [(&'static str, Value); 3] {
    [
        ("database.json", database(password)),
        ("sites.json", sites(options, keys)),
        ("policy.json", policy(options)),
    ]
}

/// A server's part in the mesh. Interfaces have the servers' names: the control sockets of all of them are in one
/// directory, since the servers share a file system.
pub(super) fn network(place: Place, keys: &MeshKeys) -> Value {
    json!({
        "publicKey": keys.of(place),
        "interface": place.name(),
        "mode": "userspace",
        "operators": [{
            "name": Place::OFFICE.name(),
            "publicKey": keys.of(Place::OFFICE),
            "wireguardIp": Place::OFFICE.address().to_string(),
        }],
    })
}

fn database(password: &str) -> Value {
    json!({
        "host": bootstrap().address().to_string(),
        "port": PORT,
        "database": DATABASE,
        "username": OWNER,
        "password": password,
        "ssl": true,
    })
}

fn sites(options: &LabOptions, keys: &MeshKeys) -> Value {
    let entries = SITES.iter().zip(1..).filter_map(|((key, name), rank)| {
        let primary = *key == PRIMARY_SITE;
        let servers: Vec<(Place, Duty)> =
            options.layout.servers().filter(|(place, _)| place.site() == *key).collect();
        let first = servers.first()?.0;
        let site = json!({
            "name": name,
            "ip": first.public_address().to_string(),
            "wireguardIp": first.address().to_string(),
            "subnet": subnet(first),
            "enabled": true,
            "replicationMode": if options.durability.survives_the_primary() { "sync" } else { "async" },
            "role": if primary { "primary" } else { "replica" },
            "priority": rank * 10,
            "servers": servers.iter().map(|(place, duty)| server(*place, *duty, keys)).collect::<Vec<_>>(),
        });
        Some(((*key).to_owned(), site))
    });
    Value::Object(entries.collect())
}

fn server(place: Place, duty: Duty, keys: &MeshKeys) -> Value {
    let mut server = json!({
        "name": place.name(),
        "ip": place.public_address().to_string(),
        "wireguardIp": place.address().to_string(),
        "postgres": duty == Duty::Database,
    });
    if let Some(key) = keys.of(place) {
        server["publicKey"] = key.into();
    }
    server
}

fn policy(options: &LabOptions) -> Value {
    let store = match options.store {
        StoreChoice::Raft => json!({ "kind": "raft" }),
        StoreChoice::Etcd => json!({ "kind": "etcd", "endpoints": etcd::endpoints() }),
    };
    json!({
        "failover": { "profile": options.profile.as_str(), "failsafe": options.failsafe.as_str() },
        "durability": { "mode": options.durability.as_str() },
        "store": store,
    })
}

fn subnet(place: Place) -> String {
    let [a, b, c, _] = place.address().octets();
    format!("{a}.{b}.{c}.0/24")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_stands_in_the_sites_document_once() {
        let sites = sites(&LabOptions::default(), &MeshKeys::default());
        let named: Vec<&str> = SITES
            .iter()
            .flat_map(|(key, _)| sites[key]["servers"].as_array().unwrap())
            .map(|server| server["name"].as_str().unwrap())
            .collect();
        assert_eq!(named, Place::servers().map(Place::name).collect::<Vec<_>>());
        assert_eq!(sites["ravena"]["role"], "primary");
        assert_eq!(sites["burlington"]["subnet"], "10.0.2.0/24");
    }
}
