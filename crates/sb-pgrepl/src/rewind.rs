use std::time::Duration;

use sb_pgtypes::{Lsn, SystemIdentifier};

use crate::{ControlDataError, FileError, Instance, Parked, SqlError, ToolError, Upstream};

/// What a rewind did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewound {
    /// The diverged WAL and the report of what was lost with it.
    pub parked: Parked,
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
    /// The diverged WAL could not be kept aside; nothing was changed.
    #[error("could not keep the diverged WAL aside")]
    Park(#[source] FileError),
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
    ///
    /// # Errors
    /// See [`RewindError`]; `Unusable` and `WalPastFork` leave the note that only a new clone takes away.
    pub async fn rewind_from(
        &self,
        source: &Upstream,
        system_identifier: SystemIdentifier,
        fork: Lsn,
        within: Duration,
    ) -> Result<Rewound, RewindError> {
        let _ = (source, system_identifier, fork, within);
        todo!()
    }
}
