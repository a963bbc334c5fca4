use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// A state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateFileError {
    /// It is missing or not readable.
    #[error("could not read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("`{path}` is damaged")]
    Content {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
}

pub(super) fn load<T: DeserializeOwned>(path: &Path) -> Result<T, StateFileError> {
    let text =
        std::fs::read(path).map_err(|source| StateFileError::Read { path: path.to_owned(), source })?;
    serde_json::from_slice(&text).map_err(|source| StateFileError::Content { path: path.to_owned(), source })
}
