use std::path::{Path, PathBuf};
use std::time::Duration;

use sb_pgtypes::SystemIdentifier;

use crate::files::{is_empty_dir, make_private_dir, next_numbered, off_thread, rename_durably};
use crate::init_db::mounted_hint;
use crate::parked::PARKED_DATA;
use crate::roles::REPLICATOR;
use crate::{ControlDataError, FileError, Instance, ToolError, Unfinished, Upstream};

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
    /// The data directory can never be renamed.
    #[error("cannot clone into `{}`: it is a mount point or a link", path.display())]
    Mounted {
        /// The data directory.
        path: PathBuf,
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

impl CloneError {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::DiskFull { path, .. } => {
                let directory = path.parent().unwrap_or(path).display();
                Some(format!("The former data is untouched. See what takes the room: du -xsh {directory}/*"))
            }
            Self::Mounted { path } => Some(mounted_hint(path)),
            Self::Running { .. }
            | Self::Foreign { .. }
            | Self::Tool(_)
            | Self::File(_)
            | Self::ControlData(_) => None,
        }
    }
}

impl Instance {
    /// Copies a server beside the data directory and, once the copy is whole and on disk, puts it in place; a former data
    /// directory is parked. Returns where that went.
    ///
    /// # Errors
    /// When there is no whole copy; then the data directory is as it was.
    pub async fn clone_from(&self, request: &CloneRequest) -> Result<Option<PathBuf>, CloneError> {
        if let Some(pid) = self.running_pid()? {
            return Err(CloneError::Running { pid });
        }
        if self.data_is_mounted()? {
            // Before anything is copied: the copy could never be put in place.
            return Err(CloneError::Mounted { path: self.data_dir().to_owned() });
        }
        let before = self.unfinished()?;
        let source = request.source.server.to_string();
        // Of an attempt that was cut short between its two renames, the place of the former data must not be forgotten.
        let parked = match &before {
            Some(Unfinished::Clone { parked, .. }) => parked.clone(),
            Some(Unfinished::Rewind { .. } | Unfinished::Unreadable) | None => None,
        };
        self.note_unfinished(&Unfinished::Clone { source: source.clone(), parked })?;
        match self.copy(request).await {
            Ok(copy) => {
                let instance = self.clone();
                Ok(off_thread(move || instance.put_in_place(&copy, source)).await?)
            }
            Err(error) => {
                self.undo(before).await?;
                Err(error)
            }
        }
    }

    /// The whole copy, synced, beside the data directory.
    async fn copy(&self, request: &CloneRequest) -> Result<PathBuf, CloneError> {
        let copy = self.make_attempt("cloning").await?;
        let instance = self.clone();
        off_thread(move || instance.write_credentials()).await?;
        let result = self.base_backup(request, &copy).await;
        result.map_err(|error| {
            let full = error.is_disk_full();
            let source_server = request.source.server.to_string();
            if full { CloneError::DiskFull { source_server, path: copy.clone() } } else { error.into() }
        })?;
        let found = self.control_data_of(&copy).await?.system_identifier;
        if found != request.system_identifier {
            let (source_server, expected) = (request.source.server.to_string(), request.system_identifier);
            return Err(CloneError::Foreign { source_server, expected, found });
        }
        Ok(copy)
    }

    async fn base_backup(&self, request: &CloneRequest, copy: &Path) -> Result<(), ToolError> {
        let conninfo = self.conninfo(&request.source, REPLICATOR, "replication", &self.copy_application());
        let tool = self.tool("pg_basebackup").arg("-D").arg(copy).args(&["-d", &conninfo, "--no-password"]);
        // Progress goes to a pipe that this process reads: a copy whose reader is gone ends within a second.
        let mut tool = tool.args(&["--wal-method=stream", "--checkpoint=fast", "--progress"]);
        if let Some(slot) = &request.source.slot {
            tool = tool.args(&["--slot", slot.as_str()]);
        }
        if let Some(rate) = request.rate_kib_max {
            tool = tool.args(&["--max-rate", &format!("{rate}k")]);
        }
        tool.run(request.within).await.map(|_| ())
    }

    fn put_in_place(&self, copy: &Path, source: String) -> Result<Option<PathBuf>, FileError> {
        let data = self.data_dir();
        let parked = if data.exists() && !is_empty_dir(data)? { Some(self.park_data(source)?) } else { None };
        rename_durably(copy, self.data_dir())?;
        self.clear_unfinished()?;
        Ok(parked)
    }

    fn park_data(&self, source: String) -> Result<PathBuf, FileError> {
        let directory = self.parking()?;
        make_private_dir(&directory, None)?;
        let parked = next_numbered(&directory, PARKED_DATA)?;
        self.note_unfinished(&Unfinished::Clone { source, parked: Some(parked.clone()) })?;
        rename_durably(self.data_dir(), &parked)?;
        Ok(parked)
    }

    /// As before the attempt: without the half copy, and with the note that was there.
    async fn undo(&self, before: Option<Unfinished>) -> Result<(), FileError> {
        self.remove_attempts("cloning").await?;
        match before {
            Some(what) => self.note_unfinished(&what),
            None => self.clear_unfinished(),
        }
    }
}
