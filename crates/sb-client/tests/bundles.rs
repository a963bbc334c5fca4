//! Bundles of a whole cluster, as files and as the TLS handshakes that they allow.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sb_client::bundle::{
    AuthorityKey, BundleError, Cluster, ClusterServer, Passphrase, decrypt_authority_key, make_bundles,
    make_cluster,
};
use sb_client::state::{Identity, Scope, Secret, Secrets, Token, Tokens};
use sb_client::trust::{self, Alpn, Credentials, DialError};
use sb_topology::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const LIMIT: Duration = Duration::from_secs(10);

fn server(name: &str, site: &str) -> ClusterServer {
    ClusterServer {
        name: name.parse().unwrap(),
        site: site.parse().unwrap(),
        addresses: vec!["127.0.0.1".parse().unwrap()],
    }
}

fn cluster() -> Cluster {
    Cluster {
        name: "show-build".into(),
        servers: vec![
            server("ravena-1", "ravena"),
            server("ravena-2", "ravena"),
            server("tucson-1", "tucson"),
        ],
        bootstrap: "ravena-1".parse().unwrap(),
        owner_password: Some(Secret::new("from the application".into())),
    }
}

/// A temporary directory with documents in `config`; bundles go to `out`.
fn place() -> (TempDir, PathBuf, PathBuf) {
    let place = TempDir::new().unwrap();
    let (config, out) = (place.path().join("config"), place.path().join("out"));
    fs::create_dir(&config).unwrap();
    fs::write(config.join("sites.json"), "{\"ravena\": {}}\n").unwrap();
    fs::write(config.join("notes.txt"), "not for the servers").unwrap();
    (place, config, out)
}

fn credentials(out: &Path, server: &str) -> Credentials {
    Credentials::load(&out.join(server).join("state/tls")).unwrap()
}

#[test]
fn every_server_gets_its_own_identity_and_the_same_secrets() {
    let (_place, config, out) = place();
    let made = make_bundles(&cluster(), &config, &out).unwrap();

    let state = |server: &str| out.join(server).join("state");
    let identities = ["ravena-1", "ravena-2", "tucson-1"].map(|name| Identity::load(&state(name)).unwrap());
    assert!(identities.iter().all(|identity| identity.cluster_id == made.cluster_id));
    assert_eq!(identities.each_ref().map(|identity| identity.bootstrap), [true, false, false]);
    assert_eq!(identities[2].site.as_str(), "tucson");

    let secrets = Secrets::load(&state("ravena-1")).unwrap();
    assert_eq!(secrets.owner.expose(), "from the application");
    assert_ne!(secrets.replicator, secrets.rewind);
    assert_eq!(secrets, Secrets::load(&state("tucson-1")).unwrap());

    let copied = fs::read_to_string(out.join("tucson-1/config/sites.json")).unwrap();
    assert_eq!(copied, "{\"ravena\": {}}\n");
    assert!(!out.join("tucson-1/config/notes.txt").exists());
}

#[test]
fn the_operators_token_opens_every_agent_and_is_stored_as_a_digest_only() {
    let (_place, config, out) = place();
    make_bundles(&cluster(), &config, &out).unwrap();

    let token = Token::from_text(&fs::read_to_string(out.join("operator/token")).unwrap());
    let tokens = Tokens::load(&out.join("tucson-1/state")).unwrap();
    assert_eq!(tokens.find(token.expose()).map(|entry| entry.scope), Some(Scope::Admin));
    let stored = fs::read_to_string(out.join("tucson-1/state/tokens.json")).unwrap();
    assert!(!stored.contains(token.expose()));
}

#[test]
fn a_failure_leaves_nothing_and_an_empty_directory_is_taken() {
    let (place, config, out) = place();
    let names = || {
        let entries = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name());
        entries.collect::<BTreeSet<_>>()
    };
    // Found free by a look, but nothing can be renamed to it.
    std::os::unix::fs::symlink("nowhere", &out).unwrap();
    let before = names();
    let refused = make_bundles(&cluster(), &config, &out);
    assert!(matches!(refused, Err(BundleError::Io { action: "write", .. })), "{refused:?}");
    assert_eq!(names(), before);

    fs::remove_file(&out).unwrap();
    fs::create_dir(&out).unwrap();
    make_bundles(&cluster(), &config, &out).unwrap();
    assert_eq!(names(), before);
    assert!(out.join("tucson-1/state/identity.json").exists());

    let nameless = make_bundles(&cluster(), &config, &place.path().join(".."));
    assert!(matches!(nameless, Err(BundleError::Nameless { .. })), "{nameless:?}");
}

#[test]
fn nobody_else_on_the_machine_can_read_a_bundle() {
    let (_place, config, out) = place();
    make_bundles(&cluster(), &config, &out).unwrap();

    let mut left = vec![out.clone()];
    let mut files = 0;
    while let Some(path) = left.pop() {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        if path.is_dir() {
            assert_eq!(mode, 0o700, "{}", path.display());
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            assert_eq!(mode, 0o600, "{}", path.display());
            files += 1;
        }
    }
    assert_eq!(files, 3 * 7 + 1 + 2 + 1);
}

#[test]
fn the_authoritys_key_is_kept_encrypted_or_not_at_all() {
    let (_place, config, out) = place();
    let passphrase = Passphrase::new("correct horse battery".into()).unwrap();
    make_cluster(&cluster(), &config, &out, AuthorityKey::Encrypt(&passphrase)).unwrap();

    let pem = fs::read_to_string(out.join("authority/ca.key.enc")).unwrap();
    assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    assert!(decrypt_authority_key(&pem, &passphrase).is_ok());
    let wrong = Passphrase::new("another passphrase".into()).unwrap();
    assert!(matches!(decrypt_authority_key(&pem, &wrong), Err(BundleError::Decrypt)));

    let second = out.with_file_name("second");
    make_bundles(&cluster(), &config, &second).unwrap();
    assert!(!second.join("authority/ca.key.enc").exists());
}

#[test]
fn a_place_in_use_is_left_alone() {
    let (_place, config, out) = place();
    fs::create_dir(&out).unwrap();
    fs::write(out.join("precious"), "").unwrap();

    let refused = make_bundles(&cluster(), &config, &out);

    assert!(matches!(refused, Err(BundleError::InUse { .. })), "{refused:?}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
}

#[test]
fn no_server_takes_the_place_of_the_authority() {
    let (_place, config, out) = place();
    let mut cluster = cluster();
    cluster.servers.push(server("authority", "ravena"));

    let refused = make_bundles(&cluster, &config, &out);

    assert!(matches!(refused, Err(BundleError::Reserved { .. })), "{refused:?}");
    assert!(!out.exists());
}

#[test]
fn without_documents_nothing_is_made() {
    let (_place, config, out) = place();
    fs::remove_file(config.join("sites.json")).unwrap();

    let refused = make_bundles(&cluster(), &config, &out);

    assert!(matches!(refused, Err(BundleError::NoDocuments { .. })), "{refused:?}");
    assert!(!out.exists());
}

/// Answers one connection with the name of the peer, as `ravena-1`.
async fn answer_once(listener: TcpListener, credentials: Credentials) -> std::io::Result<(ServerName, Alpn)> {
    let acceptor = TlsAcceptor::from(Arc::new(credentials.peer_server_config().unwrap()));
    let mut stream = acceptor.accept(listener.accept().await?.0).await?;
    let peer = trust::server_name(stream.get_ref().1.peer_certificates()).unwrap();
    let protocol = Alpn::from_id(stream.get_ref().1.alpn_protocol().unwrap()).unwrap();
    stream.write_all(peer.as_str().as_bytes()).await?;
    stream.shutdown().await?;
    Ok((peer, protocol))
}

#[tokio::test]
async fn two_servers_of_a_cluster_know_each_other_by_name() {
    let (_place, config, out) = place();
    make_bundles(&cluster(), &config, &out).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answering = tokio::spawn(answer_once(listener, credentials(&out, "ravena-1")));

    let tls = Arc::new(credentials(&out, "tucson-1").peer_client_config(Alpn::Raft).unwrap());
    let mut stream = trust::dial(&"ravena-1".parse().unwrap(), address, tls, LIMIT).await.unwrap();
    let mut seen = String::new();
    stream.read_to_string(&mut seen).await.unwrap();

    assert_eq!(seen, "tucson-1");
    assert_eq!(answering.await.unwrap().unwrap(), ("tucson-1".parse().unwrap(), Alpn::Raft));
}

#[tokio::test]
async fn a_server_that_answers_for_another_is_refused() {
    let (_place, config, out) = place();
    make_bundles(&cluster(), &config, &out).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answering = tokio::spawn(answer_once(listener, credentials(&out, "ravena-1")));

    let tls = Arc::new(credentials(&out, "tucson-1").peer_client_config(Alpn::Http).unwrap());
    let refused = trust::dial(&"ravena-2".parse().unwrap(), address, tls, LIMIT).await;

    assert!(matches!(refused, Err(DialError::Refused { .. })), "{refused:?}");
    assert!(answering.await.unwrap().is_err());
}

#[tokio::test]
async fn a_server_of_another_cluster_is_refused_by_both_sides() {
    let (_place, config, out) = place();
    make_bundles(&cluster(), &config, &out).unwrap();
    let other = out.with_file_name("other");
    make_bundles(&cluster(), &config, &other).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answering = tokio::spawn(answer_once(listener, credentials(&out, "ravena-1")));

    let tls = Arc::new(credentials(&other, "tucson-1").peer_client_config(Alpn::Http).unwrap());
    let refused = trust::dial(&"ravena-1".parse().unwrap(), address, tls, LIMIT).await;

    assert!(matches!(refused, Err(DialError::Refused { .. })), "{refused:?}");
    assert!(answering.await.unwrap().is_err());
}

#[tokio::test]
async fn a_stranger_without_a_certificate_is_refused() {
    let (_place, config, out) = place();
    make_bundles(&cluster(), &config, &out).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answering = tokio::spawn(answer_once(listener, credentials(&out, "ravena-1")));

    let tls = credentials(&out, "tucson-1").authority().client_config().unwrap();
    let mut read = String::new();
    // In TLS 1.3 the client learns that it was refused when it reads.
    if let Ok(mut stream) = trust::dial(&"ravena-1".parse().unwrap(), address, Arc::new(tls), LIMIT).await {
        assert!(stream.read_to_string(&mut read).await.is_err());
    }

    assert_eq!(read, "");
    assert!(answering.await.unwrap().is_err());
}

#[tokio::test]
async fn a_peer_that_never_answers_is_given_up_at_the_limit() {
    let (_place, config, out) = place();
    make_bundles(&cluster(), &config, &out).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();

    let tls = Arc::new(credentials(&out, "tucson-1").peer_client_config(Alpn::Http).unwrap());
    let limit = Duration::from_millis(50);
    let given_up = trust::dial(&"ravena-1".parse().unwrap(), silent.local_addr().unwrap(), tls, limit).await;

    assert!(matches!(given_up, Err(DialError::Timeout { .. })), "{given_up:?}");
}
