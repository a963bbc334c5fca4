//! A real etcd that trusts nobody: TLS with certificates on both sides, and a user with a password who may do what the
//! store needs and nothing else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sb_consensus::{EtcdConfig, EtcdLogin, EtcdStore, EtcdTls, Store};
use serde_json::json;
use support::etcd::{Etcd, Trust};
use support::{Machine, Outcome, write};
use tempfile::TempDir;

const WITHIN: Duration = Duration::from_secs(20);
/// Long enough for an answer, and for several refusals.
const REFUSED_WITHIN: Duration = Duration::from_secs(3);

const USER: &str = "show-build";
const PASSWORD: &str = "a password with \"quotes\" and ü";

/// An etcd with authentication, whose user may read and write below `/show-build/`, then behind TLS.
async fn guarded() -> Etcd {
    let mut etcd = Etcd::start().await;
    let key = |text: &str| STANDARD.encode(text);
    // `0` follows `/`.
    let below =
        json!({ "permType": "READWRITE", "key": key("/show-build/"), "range_end": key("/show-build0") });
    for (path, body) in [
        ("role/add", json!({ "name": "root" })),
        ("role/add", json!({ "name": USER })),
        ("role/grant", json!({ "name": USER, "perm": below })),
        ("user/add", json!({ "name": "root", "password": "root" })),
        ("user/grant", json!({ "user": "root", "role": "root" })),
        ("user/add", json!({ "name": USER, "password": PASSWORD })),
        ("user/grant", json!({ "user": USER, "role": USER })),
        ("enable", json!({})),
    ] {
        let said = etcd.ask(0, &format!("/v3/auth/{path}"), &body.to_string()).await;
        assert!(said.is_some(), "etcd refused {path}");
    }
    etcd.go_on_with_tls();
    etcd
}

fn config(etcd: &Etcd, dir: &Path, name: &str, password: &str) -> EtcdConfig {
    let password_file = dir.join("password");
    std::fs::write(&password_file, format!("{password}\n")).unwrap();
    let login = EtcdLogin { username: USER.into(), password_file };
    EtcdConfig { login: Some(login), ..etcd.config(&dir.join("store"), name) }
}

fn begin(etcd: &Etcd, dir: &TempDir) -> Store<Machine> {
    EtcdStore::bootstrap(config(etcd, dir.path(), "a", PASSWORD), Machine::default()).unwrap()
}

/// Fails unless the store gets nowhere and says why.
async fn is_refused(config: EtcdConfig, why: &str) {
    let store = EtcdStore::bootstrap(config, Machine::default()).unwrap();
    assert!(store.propose(write("smuggled"), REFUSED_WITHIN).await.is_err(), "{why}: it was let in");
    let troubles: Vec<_> =
        store.health().borrow().etcd.clone().into_iter().flat_map(|it| it.endpoints).collect();
    let told = troubles.iter().any(|it| it.trouble.as_ref().is_some_and(|said| said.contains(why)));
    assert!(told, "nobody is told `{why}`: {troubles:?}");
    store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_kept_behind_tls_and_a_login_through_restarts_that_forget_the_login() {
    let mut etcd = guarded().await;
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let a = begin(&etcd, &dirs[0]);
    assert_eq!(a.propose(write("one"), WITHIN).await, Ok(Outcome::Written(1)));
    let b = EtcdStore::open(config(&etcd, dirs[1].path(), "b", PASSWORD), Machine::default()).unwrap();
    b.add_learner(b.member().clone(), WITHIN).await.expect("a member may add itself");
    // The tokens of a login are in the members' memory only.
    (0..3).for_each(|at| etcd.restart(at));
    assert_eq!(a.propose(write("two"), WITHIN).await, Ok(Outcome::Written(2)));
    let mut watch = b.watch();
    let seen = watch.wait_for(|now| now.view.words == ["one", "two"]);
    tokio::time::timeout(WITHIN, seen).await.expect("seen in time").expect("the store goes on");
    assert_eq!(b.read(WITHIN).await.unwrap().words, ["one", "two"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_trusted_by_etcd_or_does_not_trust_it_gets_nowhere_and_is_told_why() {
    let etcd = guarded().await;
    let dir = tempfile::tempdir().unwrap();
    let a = begin(&etcd, &dir);
    a.propose(write("kept"), WITHIN).await.unwrap();

    let fresh = || tempfile::tempdir().unwrap();
    let (password, certificate, name, authority, login) = (fresh(), fresh(), fresh(), fresh(), fresh());
    is_refused(config(&etcd, password.path(), "b", "another"), "invalid user ID or password").await;

    let mut without = config(&etcd, certificate.path(), "c", PASSWORD);
    without.tls = without.tls.map(|tls| EtcdTls { client: None, ..tls });
    is_refused(without, "ertificate").await;

    let mut named = config(&etcd, name.path(), "f", PASSWORD);
    named.tls = named.tls.map(|tls| EtcdTls { client: Some(etcd.trust().named.clone()), ..tls });
    is_refused(named, "CommonName of client").await;

    let mut stranger = config(&etcd, authority.path(), "d", PASSWORD);
    let other = Trust::make(authority.path()).authority;
    stranger.tls = stranger.tls.map(|tls| EtcdTls { ca_file: other, ..tls });
    is_refused(stranger, "certificate").await;

    let anonymous = EtcdConfig { login: None, ..config(&etcd, login.path(), "e", PASSWORD) };
    is_refused(anonymous, "it refused (4").await;

    assert_eq!(a.read(WITHIN).await.unwrap().words, ["kept"]);
}
