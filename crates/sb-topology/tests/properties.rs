//! Laws: what is written reads back as the same, and no input makes the reader panic.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use sb_topology::{DocumentTexts, Documents, Loaded, Topology, load};
use serde_json::{Map, Value, json};

/// A usable set of documents, as JSON values.
#[derive(Debug, Clone)]
struct Valid {
    database: Value,
    sites: Value,
    network: Value,
    policy: Value,
}

fn key() -> impl Strategy<Value = String> {
    "[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="
}

/// Keys with the values that are there.
fn members(pairs: Vec<(&str, Option<Value>)>) -> Map<String, Value> {
    pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// Any server but for its addresses and its key, which are used once in the cluster.
fn server() -> impl Strategy<Value = Map<String, Value>> {
    let placed = (option::of(1024..7000_u16), option::of("/[a-z/ é\"]{1,9}")).prop_map(|(port, data_dir)| {
        Value::Object(members(vec![("port", port.map(Value::from)), ("dataDir", data_dir.map(Value::from))]))
    });
    let voter = option::of(Just(json!(true)));
    (option::of(placed), voter, any::<bool>()).prop_map(|(postgres, voter, has_ip)| {
        members(vec![("postgres", postgres), ("voter", voter), ("ip", has_ip.then(|| json!("replaced")))])
    })
}

/// A site's own settings and its servers.
type DrawnSite = (Map<String, Value>, Vec<Map<String, Value>>);

/// Any site but for its name and its servers' addresses.
fn site() -> impl Strategy<Value = DrawnSite> {
    let settings = (
        option::of("[^\\p{Cc}]{0,12}"),
        option::of(any::<u16>()),
        option::of(select(vec!["async", "sync", "logical"])),
        any::<bool>(),
    );
    (settings, vec(server(), 1..4)).prop_map(|((label, priority, mode, subnet), servers)| {
        let settings = members(vec![
            ("name", label.map(Value::from)),
            ("priority", priority.map(Value::from)),
            ("replicationMode", mode.map(Value::from)),
            ("subnet", subnet.then(|| json!("replaced"))),
        ]);
        (settings, servers)
    })
}

/// Numbers the sites and gives out what must be used once.
fn sites(drawn: Vec<DrawnSite>, keys: Vec<String>, disabled: Value) -> Value {
    let mut sites = Map::new();
    let mut keys = keys.into_iter();
    for (number, (mut site, servers)) in drawn.into_iter().enumerate() {
        for (at, mut server) in servers.into_iter().enumerate() {
            if server.contains_key("ip") {
                server.insert("ip".to_owned(), json!(format!("2001:db8:{number:x}::{at:x}")));
            }
            server.insert("wireguardIp".to_owned(), json!(format!("10.0.{number}.{at}")));
            if at > 0 {
                server.insert("lanIp".to_owned(), json!(format!("192.168.0.{at}")));
            }
            server.insert("name".to_owned(), json!(format!("s{number}-{}", at + 1)));
            if let Some(key) = keys.next() {
                server.insert("publicKey".to_owned(), json!(key));
                server.insert("endpoint".to_owned(), json!(format!("s{number}-{at}.example.net:{}", 1 + at)));
            }
            let list = site.entry("servers").or_insert_with(|| json!([]));
            list.as_array_mut().expect("a list").push(Value::Object(server));
        }
        if site.contains_key("subnet") {
            site.insert("subnet".to_owned(), json!(format!("10.0.{number}.0/24")));
        }
        site.insert("enabled".to_owned(), json!(true));
        if number == 0 {
            site.insert("role".to_owned(), json!("primary"));
        }
        sites.insert(format!("s{number}"), Value::Object(site));
    }
    sites.insert("later".to_owned(), disabled);
    Value::Object(sites)
}

fn disabled() -> impl Strategy<Value = Value> {
    let servers = option::of(Just(json!([{"name": "later-7", "wireguardIp": ""}])));
    (option::of(Just("192.0.2.250")), option::of(any::<u16>()), servers).prop_map(
        |(ip, priority, servers)| {
            Value::Object(members(vec![
                ("ip", Some(json!(ip.unwrap_or("")))),
                ("wireguardIp", Some(json!(""))),
                ("priority", priority.map(Value::from)),
                ("servers", servers),
            ]))
        },
    )
}

fn policy() -> impl Strategy<Value = Value> {
    let failover = (
        select(vec!["default", "fast", "custom"]),
        500..60_000_u64,
        option::of(0..1_u64 << 40),
        option::of(select(vec!["off", "on"])),
    )
        .prop_map(|(profile, ttl, lag, failsafe)| {
            let custom = (profile == "custom").then(|| json!(ttl + 1_500));
            Value::Object(members(vec![
                ("profile", Some(json!(profile))),
                ("leaseTtlMs", custom),
                ("lagBoundBytes", lag.map(Value::from)),
                ("failsafe", failsafe.map(Value::from)),
            ]))
        });
    let backup = ("(0[0-9]|1[0-9]|2[0-3]):[0-5][0-9]", 1..3650_u16)
        .prop_map(|(schedule, days)| json!({"schedule": schedule, "retentionDays": days}));
    let durability = option::of(1_000..9_000_u64).prop_map(|ms| {
        let settings =
            members(vec![("mode", Some(json!("async"))), ("fallbackAfterMs", ms.map(Value::from))]);
        Value::Object(settings)
    });
    let routing =
        (1024..60_000_u16, 0..3_600_000_u64, option::of("/[a-z]{1,9}")).prop_map(|(port, hold, dir)| {
            let address = format!("172.17.0.1:{port}");
            let settings = json!({"readWrite": [address], "proxyProtocol": [address], "holdMs": hold});
            let Value::Object(mut settings) = settings else { return settings };
            settings.extend(dir.map(|dir| ("socketDir".to_owned(), json!(dir))));
            Value::Object(settings)
        });
    (option::of(failover), durability, option::of(backup), option::of(routing)).prop_map(
        |(failover, durability, backup, routing)| {
            let parts = vec![
                ("failover", failover),
                ("durability", Some(durability)),
                ("backup", backup),
                ("routing", routing),
            ];
            Value::Object(members(parts))
        },
    )
}

fn valid() -> impl Strategy<Value = Valid> {
    let database = ("[a-z]{1,9}\\.test", 1..=u16::MAX, "[^\\p{Cc}]{1,9}", "[^\\p{Cc}]*", any::<bool>())
        .prop_map(|(host, port, name, password, ssl)| {
            json!({"host": host, "port": port, "database": name, "username": name, "password": password, "ssl": ssl})
        });
    let network = (1..=u16::MAX, 1280..8920_u16, select(vec!["auto", "kernel", "userspace"]), "[a-z]{1,15}")
        .prop_map(|(port, mtu, mode, interface)| {
            json!({"publicKey": "", "privateKey": "***STORED_SECURELY***", "listenPort": port, "endpoint": null,
                "operators": [{"name": "laptop", "publicKey": "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",
                    "wireguardIp": "10.255.0.1"}],
                "mtu": mtu, "mode": mode, "interface": interface})
        });
    let keys =
        proptest::collection::btree_set(key(), 0..4).prop_map(|keys| keys.into_iter().collect::<Vec<_>>());
    let sites =
        (vec(site(), 1..6), keys, disabled()).prop_map(|(drawn, keys, later)| sites(drawn, keys, later));
    (database, sites, network, policy()).prop_map(|(database, sites, network, policy)| Valid {
        database,
        sites,
        network,
        policy,
    })
}

impl Valid {
    fn texts(&self) -> DocumentTexts {
        DocumentTexts {
            database: self.database.to_string(),
            sites: self.sites.to_string(),
            network: self.network.to_string(),
            policy: self.policy.to_string(),
        }
    }
}

/// A slip in a text: bytes taken away and others put in their place.
fn mutated(text: &str, at: Index, length: usize, with: &[u8]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    let start = at.index(bytes.len() + 1);
    let end = (start + length).min(bytes.len());
    bytes.splice(start..end, with.iter().copied());
    bytes
}

/// What documents are made of, and what they should not be made of.
const TOKENS: [&str; 26] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "true",
    "-0",
    "1e999",
    "18446744073709551616",
    "\"\"",
    "\"a\"",
    "\"servers\"",
    "\"ravena\"",
    "\"enabled\"",
    "\"wireguardIp\"",
    "\"10.0.1.1\"",
    "\"subnet\"",
    "\"10.0.1.0/33\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\u{feff}",
    "\n",
    "//",
    "'",
];

fn assert_consistent(topology: &Topology) {
    let primary = topology.initial_primary();
    assert!(primary.has_postgres());
    assert_eq!(topology.site_of(&primary.name), Some(topology.primary_site()));
    assert!(!topology.voters().is_empty());
    assert!(topology.voters().iter().all(|name| topology.server(name).is_some()));
}

proptest! {
    #[test]
    fn a_topology_written_and_read_again_is_the_same(valid in valid()) {
        let loaded = load(valid.texts().as_documents()).map_err(|problems| TestCaseError::fail(problems.to_string()))?;
        assert_consistent(&loaded.topology);

        let texts = loaded.topology.to_documents(&loaded.network);
        let Loaded { topology, network, .. } =
            load(texts.as_documents()).map_err(|problems| TestCaseError::fail(problems.to_string()))?;

        prop_assert_eq!(&topology, &loaded.topology);
        prop_assert_eq!(network, loaded.network);
    }

    #[test]
    fn a_topology_stored_and_read_again_lacks_the_password_only(valid in valid()) {
        let topology = load(valid.texts().as_documents()).map_err(|e| TestCaseError::fail(e.to_string()))?.topology;

        let stored = topology.to_json();
        let read = Topology::from_json(&stored).map_err(|e| TestCaseError::fail(e.to_string()))?;

        prop_assert_eq!(read.to_json(), stored);
        prop_assert_eq!(read.sites(), topology.sites());
        prop_assert_eq!(read.disabled_sites(), topology.disabled_sites());
        prop_assert_eq!(read.policy(), topology.policy());
        prop_assert!(read.database().password.is_empty());
    }

    #[test]
    fn any_bytes_are_problems_or_a_topology(database: Vec<u8>, sites: Vec<u8>, network: Vec<u8>, policy: Vec<u8>) {
        let documents =
            Documents { database: Some(&database), sites: Some(&sites), network: Some(&network), policy: Some(&policy) };
        match load(documents) {
            Ok(loaded) => assert_consistent(&loaded.topology),
            Err(problems) => prop_assert!(!problems.as_slice().is_empty()),
        }
    }

    #[test]
    fn documents_with_a_slip_are_problems_or_a_topology(
        valid in valid(), which in 0..4_usize, at: Index, length in 0..12_usize,
        with in select(vec!["", "0", "\"", "{", "}", "[]", "null", "-1", "1e9", "\u{0}", "\u{fffd}", ",", "true"]),
    ) {
        let texts = valid.texts();
        let mut bytes = [&texts.database, &texts.sites, &texts.network, &texts.policy].map(|t| t.as_bytes().to_vec());
        let text = String::from_utf8_lossy(&bytes[which]).into_owned();
        bytes[which] = mutated(&text, at, length, with.as_bytes());
        let [database, sites, network, policy] = &bytes;
        let documents =
            Documents { database: Some(database), sites: Some(sites), network: Some(network), policy: Some(policy) };
        match load(documents) {
            Ok(loaded) => assert_consistent(&loaded.topology),
            Err(problems) => prop_assert!(!problems.as_slice().is_empty()),
        }
    }

    #[test]
    fn any_tokens_are_problems_or_a_topology(tokens in vec(select(TOKENS.to_vec()), 0..60)) {
        let text = tokens.concat();
        let bytes = Some(text.as_bytes());
        match load(Documents { database: bytes, sites: bytes, network: bytes, policy: bytes }) {
            Ok(loaded) => assert_consistent(&loaded.topology),
            Err(problems) => prop_assert!(!problems.as_slice().is_empty()),
        }
    }

    #[test]
    fn no_problem_repeats_a_secret(mut valid in valid(), shape in 0..4_usize) {
        const SECRET: &str = "hunter2";
        let shapes = [json!([SECRET]), json!({SECRET: SECRET}), json!(format!("{SECRET}\u{1}")), json!(SECRET)];
        valid.database["password"] = shapes[shape].clone();
        valid.network["privateKey"] = shapes[shape].clone();

        let problems = load(valid.texts().as_documents()).expect_err("a private key in the open");

        let texts = format!("{problems} {problems:?}");
        prop_assert!(!texts.contains(SECRET), "{}", texts);
    }
}
