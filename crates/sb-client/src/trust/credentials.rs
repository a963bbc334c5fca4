use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::trust::{Alpn, TrustError};

const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// The cluster's authority as others see it: enough to check an agent, not to be one.
#[derive(Debug, Clone)]
pub struct Authority {
    roots: Arc<RootCertStore>,
}

/// What a server proves itself with: its certificate, its key, and the authority it checks others against.
///
/// `Debug` shows no key.
pub struct Credentials {
    authority: Authority,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    /// Reads the authority's certificate from a PEM file.
    ///
    /// # Errors
    /// When the file cannot be read or holds no certificate.
    pub fn load(path: &Path) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path)? {
            roots.add(certificate)?;
        }
        Ok(Self { roots: Arc::new(roots) })
    }

    /// TLS for a client that shows no certificate: people and scripts with a token.
    ///
    /// # Errors
    /// When the cryptography library refuses its own defaults.
    pub fn client_config(&self) -> Result<ClientConfig, TrustError> {
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS)?;
        let mut config = builder.with_root_certificates(self.roots.clone()).with_no_client_auth();
        config.alpn_protocols = vec![Alpn::Http.id().to_vec()];
        Ok(config)
    }
}

impl Credentials {
    /// Reads `ca.pem`, `server.pem` and `server.key` from the `tls` directory of a server's state.
    ///
    /// # Errors
    /// When a file cannot be read or does not hold what its name says.
    pub fn load(directory: &Path) -> Result<Self, TrustError> {
        let authority = Authority::load(&directory.join("ca.pem"))?;
        let chain = certificates(&directory.join("server.pem"))?;
        let path = directory.join("server.key");
        let pem = read(&path)?;
        let key = PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|_| TrustError::Content { path, what: "private key" })?;
        Ok(Self { authority, chain, key })
    }

    /// The authority that others are checked against.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// TLS towards a peer: shows this server's certificate, checks the peer's. Whom the peer must be is said when
    /// dialling.
    ///
    /// # Errors
    /// When certificate and key do not belong together.
    pub fn peer_client_config(&self, alpn: Alpn) -> Result<ClientConfig, TrustError> {
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS)?;
        let mut config = builder
            .with_root_certificates(self.authority.roots.clone())
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = vec![alpn.id().to_vec()];
        Ok(config)
    }

    /// TLS for the peer port: nobody gets in without a certificate of the cluster's authority.
    ///
    /// # Errors
    /// When certificate, key and authority do not fit together.
    pub fn peer_server_config(&self) -> Result<ServerConfig, TrustError> {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(self.authority.roots.clone(), provider()).build()?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = Alpn::ALL.iter().map(|alpn| alpn.id().to_vec()).collect();
        Ok(config)
    }

    /// TLS for the API port: the client proves itself with a token afterwards.
    ///
    /// # Errors
    /// When certificate and key do not belong together.
    pub fn api_server_config(&self) -> Result<ServerConfig, TrustError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = vec![Alpn::Http.id().to_vec()];
        Ok(config)
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let pem = read(path)?;
    let content = || TrustError::Content { path: path.to_owned(), what: "certificate" };
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| content())?;
    if found.is_empty() { Err(content()) } else { Ok(found) }
}

fn read(path: &Path) -> Result<Vec<u8>, TrustError> {
    std::fs::read(path).map_err(|source| TrustError::Read { path: path.to_owned(), source })
}
