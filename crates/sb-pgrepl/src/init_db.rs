use std::path::PathBuf;

use sb_pgtypes::SystemIdentifier;

use crate::{ControlDataError, FileError, Instance, ToolError};

/// No new database cluster was made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The data directory is there already.
    #[error("cannot make a database cluster: `{}` exists", path.display())]
    Exists {
        /// The data directory.
        path: PathBuf,
    },
    /// `initdb` did not succeed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A file or directory could not be made.
    #[error(transparent)]
    File(#[from] FileError),
    /// What it made could not be read.
    #[error(transparent)]
    ControlData(#[from] ControlDataError),
}

impl Instance {
    /// Makes a new database cluster: data checksums, UTF8, locale `C.UTF-8` (the same order of text at every site, whatever
    /// their operating systems), no password for the superuser. It appears under its name only when it is whole.
    ///
    /// # Errors
    /// When there is one already, or `initdb` fails; then nothing is left behind under the data directory's name.
    pub async fn init_db(&self) -> Result<SystemIdentifier, InitError> {
        todo!()
    }
}
