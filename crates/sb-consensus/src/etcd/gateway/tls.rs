use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::OpenError;
use crate::etcd::config::EtcdTls;

/// How etcd's certificates are checked and ours is shown.
pub(super) fn client_config(tls: &EtcdTls) -> Result<ClientConfig, OpenError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.ca_file)? {
        roots.add(certificate).map_err(|error| unusable(&tls.ca_file, &error))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder =
        builder.with_safe_default_protocol_versions().map_err(|error| unusable(&tls.ca_file, &error))?;
    let builder = builder.with_root_certificates(roots);
    let Some((certificate_file, key_file)) = &tls.client else {
        return Ok(builder.with_no_client_auth());
    };
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| unusable(key_file, &error))?;
    let config = builder.with_client_auth_cert(certificates(certificate_file)?, key);
    config.map_err(|error| unusable(certificate_file, &error))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, OpenError> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| unusable(path, &error))?;
    if found.is_empty() { Err(unusable(path, &"it holds no certificate")) } else { Ok(found) }
}

fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> OpenError {
    OpenError::EtcdAccess { path: path.to_path_buf(), reason: reason.to_string() }
}
