//! Whole deployments: the application's own files, the shipped example, and who votes where.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sb_topology::{
    Documents, Durability, EtcdPolicy, Loaded, NotAutomatic, Problem, Problems, ServerName, Severity,
    StorePolicy, Topology, load, load_dir,
};

/// As the application's setup page writes them on one machine.
const APPLICATION: Documents<'static> = Documents {
    database: Some(
        br#"{"host": "postgres", "port": 5433, "database": "app", "username": "app", "password": "app", "ssl": false}"#,
    ),
    sites: Some(
        br#"{
  "ravena": {"ip": "203.0.113.11", "wireguardIp": "10.0.0.1", "enabled": true, "role": "primary"},
  "burlington": {"ip": "", "wireguardIp": "", "enabled": false, "replicationMode": "async", "role": "replica"},
  "tucson": {"ip": "", "wireguardIp": "10.0.0.5", "enabled": false, "replicationMode": "sync", "role": "replica"}
}"#,
    ),
    network: Some(
        br#"{"publicKey": "dummy_public_key_for_testing", "privateKey": "***STORED_SECURELY***",
  "listenPort": 51820, "endpoint": null}"#,
    ),
    policy: None,
};

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/show-build")
}

fn load_sites(sites: &str) -> Result<Loaded, Problems> {
    load(Documents { sites: Some(sites.as_bytes()), ..Documents::default() })
}

fn codes(problems: &[Problem]) -> Vec<(Severity, &'static str)> {
    problems.iter().map(|problem| (problem.severity, problem.code)).collect()
}

fn names(names: &[&str]) -> BTreeSet<ServerName> {
    names.iter().map(|name| ServerName::new(*name).expect("a name")).collect()
}

/// Sites `a`, `b`, ... with as many servers each; `extra` is added to the server of that name.
fn cluster(counts: &[u8], extra: &[(&str, &str)]) -> Topology {
    let site = |(number, count): (usize, &u8)| {
        let name = char::from(b'a' + u8::try_from(number).expect("few sites"));
        let server = |at: u8| {
            let server = format!("{name}-{at}");
            let more = extra.iter().find(|(of, _)| *of == server).map_or("", |(_, text)| text);
            format!(
                r#"{{"name": "{server}", "wireguardIp": "10.0.{number}.{at}", "ip": "192.0.2.1{number}{at}"{more}}}"#
            )
        };
        let servers: Vec<_> = (1..=*count).map(server).collect();
        let role = if number == 0 { "primary" } else { "replica" };
        format!(r#""{name}": {{"enabled": true, "role": "{role}", "servers": [{}]}}"#, servers.join(", "))
    };
    let sites: Vec<_> = counts.iter().enumerate().map(site).collect();
    load_sites(&format!("{{{}}}", sites.join(", "))).expect("a usable cluster").topology
}

#[test]
fn the_applications_own_files_load_with_warnings() {
    let loaded = load(APPLICATION).unwrap();

    assert_eq!(
        codes(&loaded.warnings),
        [
            (Severity::Warning, "database.host.local_name"),
            (Severity::Warning, "wireguard.key.placeholder"),
            (Severity::Warning, "voters.cannot_lose_one"),
            (Severity::Warning, "site.mode.missing"),
        ]
    );
    assert_eq!(loaded.topology.initial_primary().name.as_str(), "ravena-1");
    assert_eq!(loaded.topology.disabled_sites().len(), 2);
    assert_eq!(loaded.topology.database().port, 5433);
}

#[test]
fn the_same_files_in_a_mesh_are_errors() {
    let sites = std::str::from_utf8(APPLICATION.sites.unwrap()).unwrap();
    let sites = sites.replace(
        r#""wireguardIp": "10.0.0.5", "enabled": false"#,
        r#""wireguardIp": "10.0.0.5", "enabled": true"#,
    );

    let problems = load(Documents { sites: Some(sites.as_bytes()), ..APPLICATION }).unwrap_err();

    let errors: Vec<_> =
        codes(problems.as_slice()).into_iter().filter(|(s, _)| *s == Severity::Error).collect();
    assert_eq!(
        errors,
        [(Severity::Error, "database.host.local_name"), (Severity::Error, "wireguard.key.placeholder")]
    );
}

#[test]
fn the_example_loads_without_a_warning() {
    let loaded = load_dir(&example()).unwrap();

    assert_eq!(loaded.warnings, []);
    let topology = loaded.topology;
    let by_priority = {
        let mut sites: Vec<_> = topology.sites().iter().collect();
        sites.sort_by_key(|site| site.priority);
        sites.iter().map(|site| site.name.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(by_priority, ["ravena", "burlington", "montpelier", "nantucket", "tucson"]);
    assert_eq!(topology.servers().count(), 6);
    assert_eq!(topology.initial_primary().name.as_str(), "ravena-1");
    assert_eq!(topology.durability(), Durability::Async);
    assert_eq!(
        topology.voters(),
        names(&["burlington-1", "montpelier-1", "nantucket-1", "ravena-1", "tucson-1"])
    );
    assert_eq!(topology.automatic_failover(), Ok(()));
}

#[test]
fn a_key_that_is_described_is_read() {
    let described = |text: &str| -> BTreeSet<String> {
        let schema: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let objects = schema["$defs"].as_object().into_iter().flat_map(|defs| defs.values()).chain([&schema]);
        objects
            .filter_map(|object| object["properties"].as_object())
            .flat_map(|p| p.keys().cloned())
            .collect()
    };
    let full = Documents {
        database: Some(include_bytes!("full/database.json")),
        sites: Some(include_bytes!("full/sites.json")),
        network: Some(include_bytes!("full/network.json")),
        policy: Some(include_bytes!("full/policy.json")),
    };
    let loaded = load(full).unwrap();
    assert_eq!(loaded.warnings, [], "the full documents hold no key that is not read");

    let texts = [full.database, full.sites, full.network, full.policy].map(Option::unwrap);
    for ((name, schema), text) in sb_topology::documents::schema_files().iter().zip(texts) {
        let text = std::str::from_utf8(text).unwrap();
        for key in described(schema) {
            assert!(text.contains(&format!("\"{key}\":")), "{name}: the full document lacks `{key}`");
        }
    }
}

#[test]
fn the_schemas_in_the_repository_are_those_of_the_types() {
    for (name, text) in sb_topology::documents::schema_files() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(name);
        let stored: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let fresh: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(stored, fresh, "{name} is stale: cargo run -p sb-topology --example schemas");
    }
}

#[test]
fn from_three_sites_on_one_server_a_site_votes() {
    assert_eq!(cluster(&[2, 3, 1], &[]).voters(), names(&["a-1", "b-1", "c-1"]));
    assert_eq!(cluster(&[2, 1], &[]).voters(), names(&["a-1", "a-2", "b-1"]));
    assert_eq!(cluster(&[1], &[]).voters(), names(&["a-1"]));
}

#[test]
fn a_server_with_postgresql_votes_before_a_witness_of_its_site() {
    let witness = [("a-1", r#", "postgres": false"#), ("c-1", r#", "postgres": false"#)];
    let topology = cluster(&[2, 1, 1], &witness);
    assert_eq!(topology.voters(), names(&["a-2", "b-1", "c-1"]));
    assert_eq!(topology.initial_primary().name.as_str(), "a-2");
}

#[test]
fn the_operator_overrides_who_votes() {
    let moved = cluster(&[2, 1, 1], &[("a-2", r#", "voter": true"#)]);
    assert_eq!(moved.voters(), names(&["a-2", "b-1", "c-1"]));
    let excluded = cluster(&[2, 1, 1, 1], &[("b-1", r#", "voter": false"#)]);
    assert_eq!(excluded.voters(), names(&["a-1", "c-1", "d-1"]));
    assert_eq!(excluded.automatic_failover(), Ok(()));
}

#[test]
fn automatic_failover_needs_an_odd_number_of_voters_at_three_sites() {
    assert_eq!(cluster(&[2, 1], &[]).automatic_failover(), Err(NotAutomatic::FewSites { sites: 2 }));
    assert_eq!(cluster(&[1, 1, 1, 1], &[]).automatic_failover(), Err(NotAutomatic::EvenVoters { voters: 4 }));
    assert_eq!(cluster(&[1, 1, 1], &[]).automatic_failover(), Ok(()));
}

#[test]
fn two_sites_fail_over_by_themselves_where_an_etcd_keeps_the_record() {
    let etcd = EtcdPolicy {
        endpoints: vec!["http://10.0.9.1:2379".parse().unwrap()],
        ca_file: None,
        client: None,
        login: None,
    };
    let topology = cluster(&[1, 1], &[]).with_store(StorePolicy::Etcd(etcd));
    assert_eq!(topology.automatic_failover(), Ok(()));
}

#[test]
fn durability_follows_the_replica_sites_unless_the_policy_says_otherwise() {
    let sites = r#"{
        "a": {"enabled": true, "role": "primary", "wireguardIp": "10.0.1.1", "ip": "192.0.2.1", "replicationMode": "sync"},
        "b": {"enabled": true, "wireguardIp": "10.0.2.1", "ip": "192.0.2.2", "replicationMode": "MODE"},
        "c": {"enabled": true, "wireguardIp": "10.0.3.1", "ip": "192.0.2.3"}
    }"#;
    let durability = |mode: &str, policy: &str| {
        let sites = sites.replace("MODE", mode);
        let documents = Documents {
            sites: Some(sites.as_bytes()),
            policy: Some(policy.as_bytes()),
            ..Documents::default()
        };
        load(documents).map(|loaded| loaded.topology.durability())
    };
    assert_eq!(durability("async", "{}"), Ok(Durability::Async));
    assert_eq!(durability("sync", "{}"), Ok(Durability::Sync));
    assert_eq!(durability("sync", r#"{"durability": {"mode": "strict"}}"#), Ok(Durability::Strict));
    assert_eq!(durability("sync", r#"{"durability": {"mode": "available"}}"#), Ok(Durability::Sync));
    let nobody = durability("async", r#"{"durability": {"mode": "sync"}}"#).unwrap_err();
    assert!(nobody.as_slice().iter().any(|problem| problem.code == "durability.nobody"));
}

#[test]
fn what_is_written_into_a_directory_is_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let loaded = load_dir(&example()).unwrap();
    let texts = loaded.topology.to_documents(&loaded.network);

    sb_topology::write::write_documents(directory.path(), &texts).unwrap();

    assert_eq!(load_dir(directory.path()), Ok(loaded));
}

#[test]
fn a_topology_for_the_store_has_no_password() {
    let topology = load_dir(&example()).unwrap().topology;
    assert_eq!(topology.database().password.reveal(), "change-me");

    let stored = topology.to_json();

    assert!(!stored.contains("change-me"));
    let read = Topology::from_json(&stored).unwrap();
    assert!(read.database().password.is_empty());
    assert_eq!(read.sites(), topology.sites());
}

#[test]
fn a_directory_without_sites_is_not_a_configuration() {
    let directory = tempfile::tempdir().unwrap();
    for path in [directory.path().to_owned(), directory.path().join("absent")] {
        let problems = load_dir(&path).unwrap_err();
        assert_eq!(
            codes(problems.as_slice()),
            [(Severity::Warning, "file.missing"), (Severity::Error, "file.missing")]
        );
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("policy.json")).unwrap();
    fs::copy(example().join("sites.json"), directory.path().join("sites.json")).unwrap();

    let problems = load_dir(directory.path()).unwrap_err();

    let unreadable = problems.as_slice().iter().find(|problem| problem.code == "file.unreadable").unwrap();
    assert_eq!((unreadable.severity, unreadable.file), (Severity::Error, "policy.json"));
}

#[cfg(unix)]
#[test]
fn a_private_key_that_others_can_read_is_an_error() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    fs::copy(example().join("sites.json"), directory.path().join("sites.json")).unwrap();
    let key = directory.path().join(".wireguard_private");
    fs::write(&key, "key").unwrap();
    let load_with_mode = |mode| {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        load_dir(directory.path())
    };

    assert!(load_with_mode(0o600).is_ok());
    let problems = load_with_mode(0o640).unwrap_err();
    assert!(problems.as_slice().iter().any(|problem| problem.code == "network.private_key.mode"));
}
