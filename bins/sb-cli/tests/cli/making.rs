//! Making a cluster, and checking its documents.

use std::path::Path;

use insta::assert_snapshot;
use sb_client::state::{Identity, Secrets};

use crate::agent::{program, shown};

/// Runs `init` into `out`, with a passphrase.
fn init(place: &Path, arguments: &[&str]) -> String {
    let passphrase = place.join("passphrase");
    std::fs::write(&passphrase, "correct horse battery\n").unwrap();
    let mut command = program();
    command.args(["init", "--out"]).arg(place.join("out")).arg("--passphrase-file").arg(passphrase);
    shown(command.args(arguments), place)
}

#[test]
fn init_makes_bundles_from_the_built_in_example() {
    let place = tempfile::TempDir::new().unwrap();
    assert_snapshot!(init(place.path(), &["--example"]), @r"
    exit: 0
    stdout:
    `HERE/out` holds the cluster `show-build`: burlington-1, montpelier-1, nantucket-1, ravena-1, ravena-2, tucson-1.
    On each SERVER, `HERE/out/SERVER/config` becomes /etc/show-build, `HERE/out/SERVER/state` /var/lib/show-build.
    Start `ravena-1` first: it starts the store. The others join by themselves.
    Keep `HERE/out/authority` to yourself; `HERE/out/operator` is for your laptop.
    ");

    let out = place.path().join("out");
    let identity = Identity::load(&out.join("ravena-1/state")).unwrap();
    assert!(identity.bootstrap);
    let secrets = Secrets::load(&out.join("tucson-1/state")).unwrap();
    let database = std::fs::read_to_string(out.join("config/database.json")).unwrap();
    assert!(database.contains(secrets.owner.expose()), "the application and the servers agree");
    assert!(!database.contains("change-me"));
    assert!(out.join("authority/ca.key.enc").exists());

    assert_snapshot!(init(place.path(), &["--example"]), @r"
    exit: 1
    stderr:
    error: `HERE/out` is not empty
    hint: Give --out a directory that does not exist yet.
    ");
}

#[test]
fn init_makes_bundles_from_a_few_words() {
    let place = tempfile::TempDir::new().unwrap();
    let sites =
        ["ravena=10.0.1.1@203.0.113.11", "burlington=10.0.2.1@203.0.113.21", "tucson=10.0.5.1@203.0.113.51"];
    let arguments: Vec<&str> = sites.iter().flat_map(|site| ["--site", site]).collect();
    assert_snapshot!(init(place.path(), &arguments), @r"
    exit: 0
    stdout:
    `HERE/out` holds the cluster `show-build`: burlington-1, ravena-1, tucson-1.
    On each SERVER, `HERE/out/SERVER/config` becomes /etc/show-build, `HERE/out/SERVER/state` /var/lib/show-build.
    Start `ravena-1` first: it starts the store. The others join by themselves.
    Keep `HERE/out/authority` to yourself; `HERE/out/operator` is for your laptop.
    ");
    assert!(place.path().join("out/burlington-1/state/tls/server.pem").exists());
}

#[test]
fn init_says_in_every_document_what_a_commit_waits_for() {
    let place = tempfile::TempDir::new().unwrap();
    let made = init(place.path(), &["--example", "--durability", "strict"]);
    assert!(made.starts_with("exit: 0\n"), "{made}");
    let document = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(place.path().join("out/tucson-1/config").join(name)).unwrap())
            .unwrap()
    };
    assert_eq!(document("policy.json")["durability"]["mode"], "strict");
    let sites = document("sites.json");
    let modes: Vec<_> =
        sites.as_object().unwrap().values().map(|site| site["replicationMode"].as_str()).collect();
    assert_eq!(modes, [Some("sync"); 5]);

    let refused = init(place.path(), &["--config", "examples/show-build", "--durability", "sync"]);
    assert!(refused.starts_with("exit: 2\n"), "{refused}");
}

#[test]
fn available_is_another_word_for_sync() {
    let place = tempfile::TempDir::new().unwrap();
    let made = init(place.path(), &["--example", "--durability", "available"]);
    assert!(made.starts_with("exit: 0\n"), "{made}");
    let policy = std::fs::read_to_string(place.path().join("out/tucson-1/config/policy.json")).unwrap();
    let policy: serde_json::Value = serde_json::from_str(&policy).unwrap();
    assert_eq!(policy["durability"]["mode"], "sync");
}

#[test]
fn init_does_not_take_the_examples_password_over() {
    let place = tempfile::TempDir::new().unwrap();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/show-build");
    assert_snapshot!(init(place.path(), &["--config", example]), @r"
    exit: 1
    stderr:
    error: the password in `database.json` is the example's: nothing was made
    hint: Write one of your own there, such as: openssl rand -base64 24
    ");
    assert!(!place.path().join("out").exists());
}

#[test]
fn init_makes_nothing_from_documents_with_errors() {
    let place = tempfile::TempDir::new().unwrap();
    assert_snapshot!(init(place.path(), &["--site", "ravena=10.0.1.1@203.0.113.11,10.0.1.1@203.0.113.12"]), @r#"
    exit: 1
    stderr:
    warning: the cluster cannot lose one voter
    at: sites.json line 1 [voters.cannot_lose_one]
    detail: The 2 voters are `ravena-1`, `ravena-2`; a majority of them is all of them. No server takes over by itself.
    hint: Enable servers at three sites; one of them may be a witness (`"postgres": false`).

    error: address 10.0.1.1 is used twice
    at: sites.json line 17, /ravena/servers/1/wireguardIp [address.twice]
    detail: It is the mesh address of `ravena-1` (sites.json line 12) and the mesh address of `ravena-2`.

    error: there is 1 error in what you gave: nothing was changed
    "#);
    assert!(!place.path().join("out").exists());
    assert_snapshot!(init(place.path(), &[]), @r"
    exit: 2
    stderr:
    error: say where the documents come from
    hint: --example, --config DIR, or --site NAME=ADDRESS once for each site
    ");
}

#[test]
fn a_configuration_directory_is_checked_as_a_whole() {
    let place = tempfile::TempDir::new().unwrap();
    let validate = |output: &str| {
        shown(program().args(["config", "validate", "-o", output]).arg(place.path()), place.path())
    };
    init(place.path(), &["--example"]);
    for file in ["sites.json", "database.json", "network.json", "policy.json"] {
        std::fs::copy(place.path().join("out/config").join(file), place.path().join(file)).unwrap();
    }
    assert_snapshot!(validate("table"), @r"
    exit: 0
    stdout:
    `HERE` describes 6 servers and can be used.
    ");
    std::fs::write(place.path().join("sites.json"), "{\"ravena\": {\"role\": \"boss\"}}").unwrap();
    assert_snapshot!(validate("table"), @r#"
    exit: 1
    stderr:
    error: no site is enabled
    at: sites.json line 1 [site.none_enabled]
    hint: Set `"enabled": true` for the sites that take part.

    error: `boss` is not a value of `role`
    at: sites.json line 1, /ravena/role [value.unknown]
    detail: One of `primary`, `replica`.

    error: there are 2 errors in `HERE`: nothing was changed
    "#);
    assert!(validate("json").starts_with("exit: 1\nstdout:\n{\n  \"schema_version\": 1,\n  \"problems\": ["));
}
