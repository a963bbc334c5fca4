use std::io;
use std::path::PathBuf;

/// A server's TLS files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file is missing or not readable.
    #[error("could not read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file holds something else.
    #[error("`{path}` holds no usable {what}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What was looked for: "certificate" or "private key".
        what: &'static str,
    },
    /// Certificate, key and authority do not fit together.
    #[error("the certificate, the key and the authority do not fit together")]
    Mismatch(#[from] rustls::Error),
    /// The authority cannot be used to check others.
    #[error("the authority cannot be used to check certificates")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}
