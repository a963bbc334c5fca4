//! What people read when something is wrong.

use insta::assert_snapshot;
use sb_topology::{Documents, load};

/// Three sites that are as they should be.
const SITES: &str = r#"{
  "a": {"enabled": true, "role": "primary", "replicationMode": "sync", "ip": "192.0.2.1", "wireguardIp": "10.0.1.1"},
  "b": {"enabled": true, "replicationMode": "sync", "ip": "192.0.2.2", "wireguardIp": "10.0.2.1"},
  "c": {"enabled": true, "ip": "192.0.2.3", "wireguardIp": "10.0.3.1"}
}"#;
const DATABASE: &str =
    r#"{"host": "127.0.0.1", "port": 6432, "database": "app", "username": "app", "password": "x"}"#;
const NETWORK: &str = r#"{"publicKey": "", "privateKey": "***STORED_SECURELY***", "listenPort": 51820}"#;

/// The problems or warnings of these documents, in the order and the words in which people get them.
fn problems(database: &str, sites: &str, network: &str, policy: &str) -> String {
    let loaded = load(Documents {
        database: Some(database.as_bytes()),
        sites: Some(sites.as_bytes()),
        network: Some(network.as_bytes()),
        policy: Some(policy.as_bytes()),
    });
    let problems = match loaded {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems.into_iter().collect(),
    };
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

fn of_sites(sites: &str) -> String {
    problems(DATABASE, sites, NETWORK, "{}")
}

fn of_policy(policy: &str) -> String {
    problems(DATABASE, SITES, NETWORK, policy)
}

#[test]
fn good_documents_have_none() {
    assert_snapshot!(of_policy("{}"), @"");
}

#[test]
#[allow(clippy::too_many_lines, reason = "two thirds are the text that people get")]
fn everything_comes_to_light_at_once() {
    let sites = r#"{
  "ravena": {
    "enabled": true, "role": "primary", "replicationMode": "snyc", "wireguardIP": "10.0.1.1",
    "subnet": "10.0.1.0/24",
    "servers": [
      {"name": "ravena-1", "ip": "203.0.113.11", "wireguardIp": "10.0.1.1"},
      {"name": "ravena-1", "ip": "203.0.113.12", "wireguardIp": "10.0.9.2"}
    ]
  },
  "Burlington": {"enabled": true, "wireguardIp": "10.0.2.1"},
  "montpelier": {
    "enabled": true, "role": "primary", "ip": "203.0.113.11", "wireguardIp": "10.0.1.300", "subnet": "10.0.1.128/25"
  },
  "version": 1
}"#;
    let database = r#"{"host": "postgres", "port": "5432", "database": "app", "usernme": "app"}"#;
    let network = r#"{"publicKey": "dummy_public_key_for_testing", "privateKey": "aGVsbG8=", "mtu": 65536}"#;
    let policy = r#"{"durability": {"n": 0}, "failover": {"leaseTtlMs": 1000}}"#;
    assert_snapshot!(problems(database, sites, network, policy), @r#"
    error: `username` is missing
    at: database.json line 1 [value.missing]

    error: database host `postgres` is known inside one container network only
    at: database.json line 1, /host [database.host.local_name]
    detail: It names a service of a compose file, which is always the database of that one machine.
    hint: Use 127.0.0.1 with port 6432: every server's proxy leads to the primary, wherever it is.

    error: `port` must be a number, not a text
    at: database.json line 1, /port [value.type]

    warning: unknown key `usernme` is ignored
    at: database.json line 1, /usernme [json.key.unknown]
    hint: Did you mean `username`?

    error: `mtu` cannot be `65536`
    at: network.json line 1, /mtu [value.range]
    detail: A whole number from 1280 to 8920.

    error: `privateKey` holds something else than its marker
    at: network.json line 1, /privateKey [network.private_key.exposed]
    detail: The only text allowed here is `***STORED_SECURELY***`.
    hint: Move the key to `.wireguard_private` (mode 0600). If others could read this file, make a new key.

    error: `dummy_public_key_for_testing` is not a WireGuard key
    at: network.json line 1, /publicKey [wireguard.key.placeholder]
    detail: A key is 32 bytes: 43 characters of base64 and a `=`. This one is ignored.
    hint: Leave `publicKey` out: each server makes its own key and the cluster learns it.

    error: `n` cannot be `0`
    at: policy.json line 1, /durability/n [value.range]
    detail: A whole number from 1 to 8.

    error: `leaseTtlMs` differs from the profile's value
    at: policy.json line 1, /failover/leaseTtlMs [policy.failover.not_custom]
    hint: Set `"profile": "custom"` to choose timings, or leave this key out.

    error: `snyc` is not a value of `replicationMode`
    at: sites.json line 3, /ravena/replicationMode [value.unknown]
    detail: One of `async`, `sync`, `logical`.
    hint: Did you mean `sync`?

    warning: unknown key `wireguardIP` is ignored
    at: sites.json line 3, /ravena/wireguardIP [json.key.unknown]
    hint: Did you mean `wireguardIp`?

    error: the name `ravena-1` is given to two servers
    at: sites.json line 7, /ravena/servers/1 [server.name.twice]
    detail: The first one is /ravena/servers/0 on line 6.

    error: mesh address 10.0.9.2 of `ravena-1` is outside its site's subnet
    at: sites.json line 7, /ravena/servers/1/wireguardIp [server.mesh_address.outside]
    detail: `subnet` of site `ravena` is 10.0.1.0/24.

    error: `Burlington` cannot name a site
    at: sites.json line 10, /Burlington [site.name]
    detail: Lower-case letters, digits and inner hyphens, at most 63 bytes.
    hint: Use `burlington`.

    error: site `montpelier` is a second primary
    at: sites.json line 11, /montpelier [site.primary.twice]
    detail: Site `ravena` is the primary already.
    hint: Leave `"role": "primary"` with the site where the cluster is first started.

    warning: primary site `montpelier` has no `replicationMode`
    at: sites.json line 11, /montpelier [site.mode.missing]
    detail: It is treated as `async` while another site is primary.
    hint: Set `"replicationMode": "sync"` if commits may wait for its servers then, else `async`.

    error: address 203.0.113.11 is used twice
    at: sites.json line 12, /montpelier/ip [address.twice]
    detail: It is the public address of `ravena-1` (sites.json line 6) and the public address of `montpelier-1`.

    error: the subnets of `ravena` and `montpelier` overlap
    at: sites.json line 12, /montpelier/subnet [site.subnet.overlap]
    detail: 10.0.1.0/24 (line 4) and 10.0.1.128/25.

    error: `wireguardIp` cannot be `10.0.1.300`
    at: sites.json line 12, /montpelier/wireguardIp [value.form]
    detail: Invalid IP address syntax.

    error: `version` is not a site
    at: sites.json line 14, /version [site.form]
    hint: Nothing but sites stands at the top level of `sites.json`, each of them an object.
    "#);
}

#[test]
fn text_that_is_not_json_is_named_with_its_line() {
    assert_snapshot!(problems("{\n  'host': 1\n}", "{\n  \"a\": {},\n}", "", "{} {}"), @r#"
    error: `database.json` is not JSON
    at: database.json line 2 [json.syntax]
    detail: Single-quoted strings are not allowed, at column 3.

    error: `network.json` is not JSON
    at: network.json line 1 [json.syntax]
    detail: The file is empty.

    error: `policy.json` is not JSON
    at: policy.json line 1 [json.syntax]
    detail: Text cannot contain more than one JSON value, at column 4.

    error: `sites.json` is not JSON
    at: sites.json line 2 [json.syntax]
    detail: Trailing commas are not allowed, at column 10.
    "#);
}

#[test]
fn a_key_given_twice_is_an_error() {
    assert_snapshot!(of_policy("{\n  \"backup\": {},\n  \"backup\": {}\n}"), @r#"
    error: key `backup` is given twice
    at: policy.json line 3, /backup [json.key.duplicate]
    detail: The first one is on line 2.
    "#);
}

#[test]
fn addresses_are_used_once() {
    let sites = SITES.replace("10.0.3.1", "10.0.2.1").replace("192.0.2.2", "10.0.1.1");
    assert_snapshot!(of_sites(&sites), @r#"
    error: address 10.0.1.1 is used twice
    at: sites.json line 3, /b/ip [address.twice]
    detail: It is the mesh address of `a-1` (sites.json line 2) and the public address of `b-1`.

    error: address 10.0.2.1 is used twice
    at: sites.json line 4, /c/wireguardIp [address.twice]
    detail: It is the mesh address of `b-1` (sites.json line 3) and the mesh address of `c-1`.
    "#);
}

#[test]
fn a_public_mesh_address_exposes_postgresql() {
    assert_snapshot!(of_sites(&SITES.replace("10.0.3.1", "203.0.113.3")), @r#"
    error: mesh address 203.0.113.3 of `c-1` is a public address
    at: sites.json line 4, /c/wireguardIp [server.mesh_address.public]
    detail: PostgreSQL listens on it, so its port would be reachable from outside the mesh.
    hint: Use a private address (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fd00::/8).
    "#);
}

#[test]
fn a_public_database_host_exposes_postgresql() {
    let database = DATABASE.replace("127.0.0.1", "192.0.2.1");
    assert_snapshot!(problems(&database, SITES, NETWORK, "{}"), @r#"
    error: database host 192.0.2.1 is a public address
    at: database.json line 1, /host [database.host.public]
    detail: The database's port would have to be reachable from outside the mesh.
    hint: Use 127.0.0.1 with port 6432: every server's proxy leads to the primary, wherever it is.
    "#);
}

#[test]
fn no_primary_and_no_enabled_site_are_errors() {
    assert_snapshot!(of_sites(&SITES.replace("primary", "replica")), @r#"
    error: no enabled site is the primary
    at: sites.json line 1 [site.primary.none]
    hint: Set `"role": "primary"` for the site where the cluster is first started.
    "#);
    assert_snapshot!(of_sites("{}"), @r#"
    error: no site is enabled
    at: sites.json line 1 [site.none_enabled]
    hint: Set `"enabled": true` for the sites that take part.
    "#);
}

#[test]
fn keys_that_do_not_match_are_errors() {
    let key = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
    let site = |name: &str, number: u8, role: &str| {
        format!(
            r#""{name}": {{"enabled": true, "role": "{role}", "replicationMode": "async", "servers": [
  {{"name": "{name}-1", "ip": "192.0.2.{number}", "wireguardIp": "10.0.{number}.1", "publicKey": "{key}"}}]}}"#
        )
    };
    let sites = format!("{{{},\n{}}}", site("a", 1, "primary"), site("b", 2, "replica"));
    let network = NETWORK
        .replace(r#""publicKey": """#, r#""publicKey": "yTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=""#);
    assert_snapshot!(problems(DATABASE, &sites, &network, "{}"), @r#"
    error: `publicKey` of `network.json` is not that of any server
    at: network.json line 1, /publicKey [wireguard.key.unknown]
    detail: Every server of `sites.json` has another `publicKey`.
    hint: Copy the key that this server made into its entry of `servers`, or the other way round.

    warning: the cluster cannot lose one voter
    at: sites.json line 1 [voters.cannot_lose_one]
    detail: The 2 voters are `a-1`, `b-1`; a majority of them is all of them. No server takes over by itself.
    hint: Enable servers at three sites; one of them may be a witness (`"postgres": false`).

    error: `a-1` and `b-1` have the same key
    at: sites.json line 4, /b/servers/0/publicKey [wireguard.key.twice]
    detail: WireGuard keeps one of two peers with the same key.
    hint: Make a key on each server.
    "#);
}

#[test]
fn timings_that_do_not_fit_together_are_errors() {
    assert_snapshot!(
        of_policy(
            r#"{"failover": {"profile": "custom", "heartbeatMs": 300, "electionMaxMs": 800, "leaseTtlMs": 1100,
                "fenceLeadMs": 200}}"#
        ),
        @r#"
    error: `electionMinMs` is too short for `heartbeatMs`
    at: policy.json line 1, /failover [policy.failover.heartbeat]
    detail: 800 < 3 × 300: lost packets would end the store's leader.

    error: `electionMaxMs` is not longer than `electionMinMs`
    at: policy.json line 1, /failover [policy.failover.election]
    detail: Servers draw their timeout between the two, so that they do not all call at once.

    error: `fenceLeadMs` is too short to kill PostgreSQL
    at: policy.json line 1, /failover [policy.failover.fence_lead]
    detail: 200 < 250: the second signal follows after 200 ms.

    error: `leaseTtlMs` is too short for `renewMs` and `fenceLeadMs`
    at: policy.json line 1, /failover [policy.failover.lease]
    detail: 1100 < 2 × 500 + 200: one lost renewal would fence the primary.
    "#
    );
    assert_snapshot!(of_policy(r#"{"failover": {"profile": "custom", "leaseTtlMs": 2000}}"#), @r#"
    warning: `leaseTtlMs` is shorter than an election of the store
    at: policy.json line 1, /failover [policy.failover.tight_lease]
    detail: 2000 < 3460 (renewal 500 + election 2100 + round trips 360 + fence 500): the loss of the store's leader alone would fence the primary.
    hint: Use at least 3460, or shorter election timeouts.
    "#);
    assert_snapshot!(of_policy(r#"{"failover": {"profile": "fast", "leaseTtlMs": 2000}}"#), @r#"
    error: `leaseTtlMs` differs from the profile's value
    at: policy.json line 1, /failover/leaseTtlMs [policy.failover.not_custom]
    hint: Set `"profile": "custom"` to choose timings, or leave this key out.
    "#);
}

#[test]
fn a_synchronous_mode_needs_somebody_to_wait_for() {
    assert_snapshot!(of_policy(r#"{"durability": {"mode": "strict", "n": 2}}"#), @r#"
    error: primary site `a` has too few to wait for
    at: policy.json line 1, /durability [durability.nobody]
    detail: Durability `strict` needs 2 servers with PostgreSQL at other sites that are `sync`; there are 1.
    hint: Set `"replicationMode": "sync"` for another site, or choose a smaller `n` or durability `async`.
    "#);
    let sites = SITES.replacen(r#""sync""#, r#""async""#, 1);
    assert_snapshot!(of_sites(&sites), @r#"
    warning: once `b` is primary it has too few to wait for
    at: sites.json line 1 [durability.nobody_after_failover]
    detail: Durability `sync` needs 1 server with PostgreSQL at other sites that are `sync`; there are 0.
    hint: Set `"replicationMode": "sync"` for another site too; the first primary's counts then.
    "#);
}

#[test]
fn voters_that_cannot_lose_one_are_pointed_out() {
    let witness =
        r#""servers": [{"name": "c-1", "ip": "192.0.2.3", "wireguardIp": "10.0.3.1", "voter": false}]"#;
    let excluded = SITES.replace(r#""ip": "192.0.2.3", "wireguardIp": "10.0.3.1""#, witness);
    assert_snapshot!(of_sites(&excluded), @r#"
    error: the cluster cannot lose one voter
    at: sites.json line 1 [voters.cannot_lose_one]
    detail: The 2 voters are `a-1`, `b-1`; a majority of them is all of them.
    hint: Take `"voter": false` away from servers until three sites have a voter.
    "#);
    let fourth =
        SITES.replacen('{', r#"{"d": {"enabled": true, "ip": "192.0.2.4", "wireguardIp": "10.0.4.1"},"#, 1);
    assert_snapshot!(of_sites(&fourth), @r#"
    warning: the number of voters is even
    at: sites.json line 1 [voters.even]
    detail: The 4 voters are `a-1`, `b-1`, `c-1`, `d-1`; 1 can be lost, as with one voter less. No server takes over by itself.
    hint: Add a witness (`"postgres": false`) at another site, or set `"voter": false` for one server.
    "#);
}

#[test]
fn the_proxy_is_open_to_this_server_and_its_networks_only_and_an_address_leads_one_way() {
    let routing = r#"{"routing": {
        "readWrite": ["0.0.0.0:6432", "127.0.0.1:6433"], "connectionsMax": 0, "proxyProtocol": ["127.0.0.1:7000"]
    }}"#;
    assert_snapshot!(of_policy(routing), @"
    error: `connectionsMax` cannot be `0`
    at: policy.json line 2, /routing/connectionsMax [value.range]
    detail: A whole number from 1 to 50000.

    error: no clients come in at `127.0.0.1:7000`
    at: policy.json line 2, /routing/proxyProtocol/0 [policy.routing.proxy_protocol]
    hint: Name it in `readWrite` or `readOnly` too.

    error: `readWrite` cannot be `0.0.0.0:6432`
    at: policy.json line 2, /routing/readWrite/0 [value.form]
    detail: It is neither of loopback nor of a private network (RFC 1918, RFC 4193).

    error: `127.0.0.1:6433` is used twice
    at: policy.json line 2, /routing/readWrite/1 [policy.routing.twice]
    detail: An address leads either to the primary or to a standby.
    hint: Choose another port for one of the two.
    ");
}

#[test]
fn a_key_with_control_characters_cannot_reach_a_terminal() {
    assert_snapshot!(of_policy(r#"{"\u001b[2J": 1}"#), @r"
    warning: unknown key `\u{1b}[2J` is ignored
    at: policy.json line 1, /\u{1b}[2J [json.key.unknown]
    detail: Known keys: failover, durability, backup, store, routing, notifications, maintenance.
    ");
}

#[test]
fn deep_nesting_is_refused_before_it_fills_the_stack() {
    for deep in ["[".repeat(100_000), "{\"a\":".repeat(100_000)] {
        assert!(of_policy(&deep).contains("Maximum nesting depth exceeded"), "{}", of_policy(&deep));
    }
}

#[test]
fn a_document_that_is_too_long_is_not_parsed() {
    assert_snapshot!(of_policy(&" ".repeat(sb_topology::DOCUMENT_BYTES_MAX + 1)), @r"
    error: `policy.json` is too long
    at: policy.json line 1 [json.too_long]
    detail: 1048577 bytes; 1048576 are read.
    ");
}

#[test]
fn a_store_in_etcd_has_to_be_reachable_and_checkable() {
    assert_snapshot!(of_policy(r#"{"store": {"kind": "etdc"}}"#), @r#"
    error: `etdc` is not a value of `kind`
    at: policy.json line 1, /store/kind [value.unknown]
    detail: One of `raft`, `etcd`.
    hint: Did you mean `etcd`?
    "#);
    assert_snapshot!(of_policy(r#"{"store": {"kind": "raft", "endpoints": ["http://10.0.1.10:2379"]}}"#), @r#"
    warning: `endpoints` has no effect
    at: policy.json line 1, /store/endpoints [policy.store.no_effect]
    detail: It belongs to the store `etcd`.
    hint: Set `"kind": "etcd"`, or leave this key out.
    "#);
    assert_snapshot!(of_policy(r#"{"store": {"kind": "etcd"}}"#), @r#"
    error: `endpoints` is missing
    at: policy.json line 1, /store [value.missing]
    "#);
    assert_snapshot!(
        of_policy(
            r#"{"store": {"kind": "etcd", "endpoints": ["https://10.0.1.10:2379", "10.0.2.10:2379"], "cafile": "/ca.pem",
                "certFile": "/c.pem", "username": "show-build"}}"#
        ),
        @r#"
    error: `certFile` and `keyFile` belong together
    at: policy.json line 1, /store [policy.store.certificate]
    hint: Give both, or neither.

    error: `username` and `passwordFile` belong together
    at: policy.json line 1, /store [policy.store.login]
    hint: Give both, or neither; the password is the first line of the file.

    error: `caFile` is missing: etcd's certificates could not be checked
    at: policy.json line 1, /store [policy.store.ca]
    hint: Give the PEM file of the authority that signed etcd's certificates.

    warning: unknown key `cafile` is ignored
    at: policy.json line 1, /store/cafile [json.key.unknown]
    hint: Did you mean `caFile`?

    warning: etcd is asked at fewer than three members
    at: policy.json line 1, /store/endpoints [policy.store.few_endpoints]
    detail: With the only endpoints gone the primary is fenced, whatever the rest of etcd does.
    hint: Name every member of etcd.

    error: `endpoints` cannot be `10.0.2.10:2379`
    at: policy.json line 1, /store/endpoints/1 [value.form]
    detail: Not `http://HOST:PORT` or `https://HOST:PORT`.
    "#
    );
}

#[test]
fn an_operator_has_a_key_and_an_address_of_its_own() {
    let network = r#"{"operators": [
  {"name": "laptop", "publicKey": "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", "wireguardIp": "10.0.1.1"},
  {"name": "Tower", "publicKey": "xTIB", "wireguardIp": "10.0.254.2"},
  {"name": "tower", "publicKey": "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="},
  {"name": "tablet", "publicKey": "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", "wireguardIp": "10.0.254.3"}
]}"#;
    assert_snapshot!(problems(DATABASE, SITES, network, "{}"), @r#"
    error: address 10.0.1.1 is used twice
    at: network.json line 2, /operators/0/wireguardIp [address.twice]
    detail: It is the mesh address of `a-1` and of operator `laptop`.

    error: `Tower` cannot name an operator
    at: network.json line 3, /operators/1/name [value.form]
    detail: Lower-case letters, digits and inner hyphens, at most 63 bytes.

    error: `publicKey` cannot be `xTIB`
    at: network.json line 3, /operators/1/publicKey [value.form]
    detail: Not a WireGuard key: 32 bytes are 43 characters of base64 and a `=`.

    error: `wireguardIp` is missing
    at: network.json line 4, /operators/2 [value.missing]

    error: `laptop` and `tablet` have the same key
    at: network.json line 5, /operators/3/publicKey [wireguard.key.twice]
    detail: WireGuard keeps one of two peers with the same key.
    hint: Make a key on each machine.
    "#);
}

#[test]
fn two_servers_of_a_site_do_not_share_a_lan_address() {
    let sites = SITES.replacen(
        r#""wireguardIp": "10.0.1.1"}"#,
        r#""wireguardIp": "10.0.1.1", "servers": [
    {"name": "a-1", "ip": "192.0.2.1", "lanIp": "192.168.1.2", "wireguardIp": "10.0.1.1"},
    {"name": "a-2", "ip": "192.0.2.9", "lanIp": "192.168.1.2", "wireguardIp": "10.0.1.2"}]}"#,
        1,
    );
    assert_snapshot!(of_sites(&sites), @r#"
    error: address 192.168.1.2 is used twice
    at: sites.json line 4, /a/servers/1/lanIp [address.twice]
    detail: It is the LAN address of `a-1` and of `a-2`.
    "#);
}
