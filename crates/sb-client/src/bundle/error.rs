use std::io;
use std::path::PathBuf;

use sb_topology::ServerName;

/// Bundles could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// There is something at the place where the bundles should go.
    #[error("`{path}` is not empty")]
    InUse {
        /// The place.
        path: PathBuf,
    },
    /// The place has no name of its own, such as `.`: the bundles get their place by a renaming.
    #[error("`{path}` is no name for a new directory")]
    Nameless {
        /// The place.
        path: PathBuf,
    },
    /// A server has the name of a directory that stands beside those of the servers.
    #[error("a server cannot be called `{server}`")]
    Reserved {
        /// Its name.
        server: ServerName,
    },
    /// The directory of documents holds none.
    #[error("`{path}` holds no configuration documents")]
    NoDocuments {
        /// The directory.
        path: PathBuf,
    },
    /// The system refused.
    #[error("could not {action} `{path}`")]
    Io {
        /// "read" or "write".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error("could not make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// The authority's key could not be encrypted.
    #[error("could not encrypt the authority's key: {0}")]
    Encrypt(pkcs8::Error),
    /// The authority's key could not be decrypted: most often the passphrase is another one.
    #[error("could not decrypt the authority's key: the passphrase may be another one")]
    Decrypt,
    /// A document could not be written as JSON.
    #[error("could not write a document as JSON")]
    Json(#[from] serde_json::Error),
}
