use rustls::pki_types::CertificateDer;
use sb_topology::ServerName;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate names no server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No certificate was shown, or it is not one.
    #[error("the peer showed no readable certificate")]
    Unreadable,
    /// The certificate of something else than a server.
    #[error("the certificate names {found} servers, not one")]
    NotOne {
        /// How many DNS names it has.
        found: usize,
    },
    /// The name is not one that a server can have.
    #[error(transparent)]
    Name(#[from] sb_topology::NameError),
}

/// The server that a certificate belongs to: its only DNS name.
///
/// Says nothing about who signed the certificate: ask only for certificates that the TLS handshake has checked.
///
/// # Errors
/// When the certificate cannot be read, or does not name exactly one server.
pub fn server_name(chain: Option<&[CertificateDer<'_>]>) -> Result<ServerName, NameError> {
    let leaf = chain.and_then(<[_]>::first).ok_or(NameError::Unreadable)?;
    let (_, certificate) = X509Certificate::from_der(leaf).map_err(|_| NameError::Unreadable)?;
    let names = certificate.subject_alternative_name().map_err(|_| NameError::Unreadable)?;
    let dns: Vec<&str> = names
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| if let GeneralName::DNSName(dns) = name { Some(*dns) } else { None })
        .collect();
    match dns[..] {
        [one] => Ok(one.parse()?),
        _ => Err(NameError::NotOne { found: dns.len() }),
    }
}
