//! Taking a diverged server back to where it left its source's history.

use std::time::Duration;

use sb_pgtypes::{Lsn, SystemIdentifier};
use sqlx::Executor;
use tokio::time::timeout;

use crate::files::{off_thread, remove_durably};
use crate::roles::REWIND;
use crate::{
    ClusterState, ControlData, ControlDataError, FileError, Instance, ParkError, Parked, SqlError, ToolError,
    Unfinished, Upstream,
};

/// What `pg_rewind` says when the data never went past the fork.
const NO_REWIND: &str = "no rewind required";

/// What a rewind did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewound {
    /// The diverged WAL and the report of what was lost with it; [`None`] when the log ended before the fork.
    pub parked: Option<Parked>,
}

/// The data directory was not rewound.
#[derive(Debug, thiserror::Error)]
pub enum RewindError {
    /// A postmaster runs in it.
    #[error("cannot rewind: process {pid} runs in the data directory")]
    Running {
        /// The postmaster.
        pid: u32,
    },
    /// It belongs to another cluster than the source must.
    #[error("cannot rewind: the data directory belongs to another cluster ({found}, not {expected})")]
    Foreign {
        /// This cluster.
        expected: SystemIdentifier,
        /// That cluster.
        found: SystemIdentifier,
    },
    /// A clone or a rewind of it was cut short: clone it anew.
    #[error("cannot rewind: a clone or rewind of the data directory was cut short")]
    Unfinished {
        /// What was going on.
        what: Unfinished,
    },
    /// The diverged WAL could not be kept aside; nothing was changed.
    #[error("could not keep the diverged WAL aside")]
    Park(#[from] ParkError),
    /// The source could not be made ready; nothing was changed.
    #[error("could not have the source perform a checkpoint")]
    Source(#[source] SqlError),
    /// `pg_rewind` did not succeed: the directory is unusable and marked so; clone it anew.
    #[error("the data directory is half rewound and must be cloned anew")]
    Unusable(#[source] ToolError),
    /// `pg_rewind` saw no divergence in the data, but the log goes on past the fork: clone it anew.
    #[error("WAL past the fork at {fork} cannot be taken back; the data directory must be cloned anew")]
    WalPastFork {
        /// The fork.
        fork: Lsn,
    },
    /// A file could not be changed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The control file cannot be read.
    #[error(transparent)]
    ControlData(#[from] ControlDataError),
}

impl Instance {
    /// Takes a stopped server back to where it left `source`'s history, at `fork`, and makes it alike to `source` from there.
    /// Before that, the WAL from `fork` on is copied to the parked directory with a report of the transactions in it (R8).
    /// Afterwards it can only be started as a standby.
    ///
    /// # Errors
    /// See [`RewindError`]; after `Unusable` and `WalPastFork` a note stands that only a new clone takes away.
    pub async fn rewind_from(
        &self,
        source: &Upstream,
        system_identifier: SystemIdentifier,
        fork: Lsn,
        within: Duration,
    ) -> Result<Rewound, RewindError> {
        if let Some(pid) = self.running_pid()? {
            return Err(RewindError::Running { pid });
        }
        if let Some(what) = self.unfinished()? {
            return Err(RewindError::Unfinished { what });
        }
        let control = self.control_data().await?;
        let (expected, found) = (system_identifier, control.system_identifier);
        if found != expected {
            return Err(RewindError::Foreign { expected, found });
        }
        let parked = self.park_diverged_wal(fork).await?;
        self.checkpoint_at(source, within).await.map_err(RewindError::Source)?;
        let words = self.run_rewind(source, &control, within).await?;
        if parked.is_some() && words.contains(NO_REWIND) {
            return Err(RewindError::WalPastFork { fork });
        }
        self.write_data_file("standby.signal", "")?;
        self.clear_unfinished()?;
        Ok(Rewound { parked })
    }

    /// Until its first checkpoint after a promotion, the control file of PostgreSQL 15 names the former timeline, and
    /// `pg_rewind` would see nothing to do.
    async fn checkpoint_at(&self, source: &Upstream, within: Duration) -> Result<(), SqlError> {
        let action = "have the source perform a checkpoint";
        let work = async {
            let mut connection = self.source_session(source).await?;
            connection.execute("CHECKPOINT").await.map_err(|source| SqlError::Query { action, source })
        };
        timeout(within, work).await.map_err(|_| SqlError::Deadline { action })?.map(|_| ())
    }

    async fn run_rewind(
        &self,
        source: &Upstream,
        control: &ControlData,
        within: Duration,
    ) -> Result<String, RewindError> {
        let instance = self.clone();
        off_thread(move || instance.write_credentials()).await?;
        self.note_unfinished(&Unfinished::Rewind { source: source.server.to_string() })?;
        if !matches!(control.state, ClusterState::ShutDown | ClusterState::ShutDownInRecovery) {
            // pg_rewind recovers it first, with a single-user server, which refuses to be a standby. The note keeps every
            // other start away meanwhile.
            remove_durably(&self.in_data("standby.signal"))?;
        }
        let conninfo = self.conninfo(source, REWIND, "postgres", &self.copy_application());
        let tool = self.tool("pg_rewind").arg("-D").arg(self.data_dir());
        let tool = tool.args(&["--source-server", &conninfo]);
        tool.run_lines(within, |_| ()).await.map_err(RewindError::Unusable)
    }
}
