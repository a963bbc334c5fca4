use std::path::PathBuf;
use std::time::Duration;

use sb_pgtypes::SystemIdentifier;

use crate::{ControlDataError, FileError, Instance, ToolError, Upstream};

/// What to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloneRequest {
    /// The server to copy.
    pub source: Upstream,
    /// The cluster it must belong to.
    pub system_identifier: SystemIdentifier,
    /// Most KiB per second, if limited.
    pub rate_kib_max: Option<u32>,
    /// The limit for the copy.
    pub within: Duration,
}

/// No copy was put in place; the data directory is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CloneError {
    /// A postmaster runs in the data directory.
    #[error("cannot clone: process {pid} runs in the data directory")]
    Running {
        /// The postmaster.
        pid: u32,
    },
    /// There is no room.
    #[error("could not clone `{source_server}`: the disk of `{}` is full", path.display())]
    DiskFull {
        /// The server that was copied.
        source_server: String,
        /// Where the copy was to be.
        path: PathBuf,
    },
    /// The source belongs to another cluster.
    #[error("cannot clone `{source_server}`: it belongs to another cluster ({found}, not {expected})")]
    Foreign {
        /// The server that was copied.
        source_server: String,
        /// This cluster.
        expected: SystemIdentifier,
        /// That cluster.
        found: SystemIdentifier,
    },
    /// `pg_basebackup` did not succeed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A file or directory could not be changed.
    #[error(transparent)]
    File(#[from] FileError),
    /// What was copied could not be read.
    #[error(transparent)]
    ControlData(#[from] ControlDataError),
}

impl Instance {
    /// Copies a server beside the data directory and, once the copy is whole and on disk, puts it in place; a former data
    /// directory is parked. Returns where that went.
    ///
    /// # Errors
    /// When there is no whole copy; then the data directory is as it was.
    pub async fn clone_from(&self, request: &CloneRequest) -> Result<Option<PathBuf>, CloneError> {
        let _ = request;
        todo!()
    }
}
