//! Bundles: everything that makes a machine a particular server of a particular cluster.
//!
//! [`make_cluster`] makes a cluster id, an authority, and for each server a directory to be copied there:
//!
//! ```text
//! OUT/<server>/config/*.json                    the documents, as they are      -> /etc/show-build
//! OUT/<server>/state/identity.json              who the server is               -> /var/lib/show-build
//! OUT/<server>/state/tls/{ca.pem,server.pem,server.key}
//! OUT/<server>/state/{secrets,tokens}.json
//! OUT/config/*.json                             the documents once more, to keep and edit
//! OUT/operator/{ca.pem,token}                   for the laptop
//! OUT/authority/{ca.pem,ca.key.enc}             stays with whoever ran it
//! ```
//!
//! Directories are 0700, files 0600. Everything is made in memory first, then written beside `OUT`, then renamed to
//! `OUT`, which must not exist or be empty: a failure leaves it as it was. The authority's key leaves the process only encrypted, or not at all.

mod authority;
mod cluster;
mod error;
mod files;
mod passphrase;

use std::path::Path;

use crate::bundle::authority::ClusterAuthority;
use crate::bundle::files::Files;
use crate::state::{
    IDENTITY_FILE, Identity, SECRETS_FILE, Scope, Secrets, TLS_DIRECTORY, TOKENS_FILE, Token, Tokens,
};

pub use authority::{CERTIFICATE_YEARS, decrypt_authority_key};
pub use cluster::{Cluster, ClusterServer};
pub use error::BundleError;
pub use passphrase::{PASSPHRASE_CHARACTERS_MIN, Passphrase, PassphraseError};

/// What becomes of the authority's private key.
#[derive(Debug, Clone, Copy)]
pub enum AuthorityKey<'a> {
    /// Kept in `authority/ca.key.enc`, encrypted, so that servers can be added and certificates renewed.
    Encrypt(&'a Passphrase),
    /// Dropped: nobody can ever add a server. For clusters that live as long as a test.
    Drop,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Random identifier of the cluster.
    pub cluster_id: String,
}

/// Makes a cluster id, an authority and all bundles, copying the documents from `documents` as they are.
///
/// # Errors
/// When `out` is in use, the documents cannot be read, or something cannot be written. An error leaves no trace.
pub fn make_cluster(
    cluster: &Cluster,
    documents: &Path,
    out: &Path,
    key: AuthorityKey<'_>,
) -> Result<Made, BundleError> {
    check_names(cluster)?;
    files::check_unused(out)?;
    let documents = files::read_documents(documents)?;
    let cluster_id = random_cluster_id();
    let authority = ClusterAuthority::new(&cluster.name)?;
    let secrets = Secrets::random(cluster.owner_password.clone());
    let token = Token::random();
    let tokens = Tokens { tokens: vec![token.entry("operator", Scope::Admin)] };

    let mut files = Files::default();
    for (name, text) in &documents {
        files.add(Path::new("config").join(name), text.clone());
    }
    for server in &cluster.servers {
        let home = Path::new(server.name.as_str());
        for (name, text) in &documents {
            files.add(home.join("config").join(name), text.clone());
        }
        let state = home.join("state");
        let identity = Identity {
            cluster_id: cluster_id.clone(),
            cluster_name: cluster.name.clone(),
            server: server.name.clone(),
            site: server.site.clone(),
            bootstrap: server.name == cluster.bootstrap,
        };
        files.add_json(state.join(IDENTITY_FILE), &identity)?;
        files.add_json(state.join(SECRETS_FILE), &secrets)?;
        files.add_json(state.join(TOKENS_FILE), &tokens)?;
        let certified = authority.certify(server)?;
        let tls = state.join(TLS_DIRECTORY);
        files.add(tls.join("ca.pem"), authority.certificate_pem());
        files.add(tls.join("server.pem"), certified.certificate_pem);
        files.add(tls.join("server.key"), certified.key_pem);
    }
    files.add("operator/ca.pem".into(), authority.certificate_pem());
    files.add("operator/token".into(), format!("{}\n", token.expose()));
    files.add("authority/ca.pem".into(), authority.certificate_pem());
    if let AuthorityKey::Encrypt(passphrase) = key {
        files.add("authority/ca.key.enc".into(), authority.encrypted_key_pem(passphrase)?);
    }
    files.write(out)?;
    Ok(Made { cluster_id })
}

/// [`make_cluster`] without a passphrase: the authority's key is dropped. For clusters that live as long as a test.
///
/// # Errors
/// As [`make_cluster`].
pub fn make_bundles(cluster: &Cluster, documents: &Path, out: &Path) -> Result<Made, BundleError> {
    make_cluster(cluster, documents, out, AuthorityKey::Drop)
}

/// Directories that stand beside those of the servers.
const RESERVED: [&str; 3] = ["config", "operator", "authority"];

fn check_names(cluster: &Cluster) -> Result<(), BundleError> {
    let taken = cluster.servers.iter().find(|server| RESERVED.contains(&server.name.as_str()));
    match taken {
        Some(server) => Err(BundleError::Reserved { server: server.name.clone() }),
        None => Ok(()),
    }
}

/// A random UUID (RFC 9562, version 4).
fn random_cluster_id() -> String {
    let mut bits = rand::random::<u128>();
    bits = (bits & !(0xF << 76)) | (0x4 << 76);
    bits = (bits & !(0x3 << 62)) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_id_is_a_random_uuid() {
        let (one, two) = (random_cluster_id(), random_cluster_id());
        assert_ne!(one, two);
        assert_eq!((one.len(), &one[14..15]), (36, "4"));
        assert!(matches!(&one[19..20], "8" | "9" | "a" | "b"), "{one}");
    }
}
