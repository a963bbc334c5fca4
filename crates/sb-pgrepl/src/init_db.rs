use std::path::{Path, PathBuf};
use std::time::Duration;

use sb_pgtypes::SystemIdentifier;

use crate::files::{is_empty_dir, off_thread, rename_durably};
use crate::roles::SUPERUSER;
use crate::{ControlDataError, FileError, Instance, ToolError};

/// Longest run of `initdb`, on a slow disk.
const INITDB_SECONDS_MAX: u64 = 120;

/// No new database cluster was made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The data directory is there already, and not empty.
    #[error("cannot make a database cluster: `{}` is not empty", path.display())]
    Exists {
        /// The data directory.
        path: PathBuf,
    },
    /// The data directory can never be renamed.
    #[error("cannot make a database cluster in `{}`: it is a mount point or a link", path.display())]
    Mounted {
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

impl InitError {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Mounted { path } => Some(mounted_hint(path)),
            Self::Exists { .. } | Self::Tool(_) | Self::File(_) | Self::ControlData(_) => None,
        }
    }
}

/// What to do about a data directory that is a mount point.
pub(crate) fn mounted_hint(path: &Path) -> String {
    format!(
        "Copies are put in place by a rename. Use a directory in it as data directory: {}/data",
        path.display()
    )
}

impl Instance {
    /// Makes a new database cluster: data checksums, UTF8, locale `C.UTF-8` (the same order of text at every site, whatever
    /// their operating systems), no password for the superuser. An empty directory may be there. It appears under its name only when it is whole.
    ///
    /// # Errors
    /// When there is one already, or `initdb` fails; then nothing is left behind under the data directory's name.
    pub async fn init_db(&self) -> Result<SystemIdentifier, InitError> {
        let data_dir = self.data_dir().to_owned();
        if self.data_is_mounted()? {
            return Err(InitError::Mounted { path: data_dir });
        }
        if data_dir.exists() && !is_empty_dir(&data_dir)? {
            return Err(InitError::Exists { path: data_dir });
        }
        let fresh = self.make_attempt("initializing").await?;
        let tool = self.tool("initdb").arg("-D").arg(&fresh).args(&["--username", SUPERUSER]);
        let tool = tool.args(&["--data-checksums", "--encoding=UTF8", "--locale=C.UTF-8"]);
        // pg_hba.conf is replaced before the first start; until then it lets nobody in over the network.
        let tool = tool.args(&["--auth-local=peer", "--auth-host=reject"]);
        tool.run(Duration::from_secs(INITDB_SECONDS_MAX)).await?;
        let identifier = self.control_data_of(&fresh).await?.system_identifier;
        off_thread(move || rename_durably(&fresh, &data_dir)).await?;
        Ok(identifier)
    }
}
