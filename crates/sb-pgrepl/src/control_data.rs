use sb_pgtypes::{Lsn, SystemIdentifier, TimelineId};

use crate::{Instance, ToolError};

/// What `pg_controldata` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlData {
    /// The cluster.
    pub system_identifier: SystemIdentifier,
    /// In what state the control file was last written.
    pub state: ClusterState,
    /// Start of the last checkpoint's record.
    pub checkpoint: Lsn,
    /// Where recovery from that checkpoint begins.
    pub redo: Lsn,
    /// The timeline at that checkpoint. On PostgreSQL 15 a promoted server's stays the former one until its next checkpoint.
    pub timeline: TimelineId,
    /// A standby is consistent only past this; [`Lsn::INVALID`] on a primary.
    pub min_recovery_end: Lsn,
    /// The timeline of that; [`None`] on a primary.
    pub min_recovery_timeline: Option<TimelineId>,
    /// Bytes of a WAL segment.
    pub wal_segment_bytes: u64,
    /// Bytes of a WAL page.
    pub wal_page_bytes: u64,
    /// Data checksums are on.
    pub checksums: bool,
    /// `wal_log_hints` was on.
    pub wal_log_hints: bool,
    /// Settings of the primary that a standby may not undercut (manual, section 27.4.3), name to value.
    pub floors: Vec<(&'static str, u32)>,
}

/// The state in the control file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// `starting up`.
    StartingUp,
    /// `shut down`: a primary that ended in order.
    ShutDown,
    /// `shut down in recovery`: a standby that ended in order.
    ShutDownInRecovery,
    /// `shutting down`.
    ShuttingDown,
    /// `in crash recovery`.
    InCrashRecovery,
    /// `in archive recovery`: a standby that runs or was cut short.
    InArchiveRecovery,
    /// `in production`: a primary that runs or was cut short.
    InProduction,
}

/// The control file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ControlDataError {
    /// `pg_controldata` did not succeed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A line is missing or has another form.
    #[error("`pg_controldata` gave no usable `{field}`")]
    Field {
        /// The line's label.
        field: &'static str,
    },
}

impl Instance {
    /// Reads the control file, of a running server too.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub async fn control_data(&self) -> Result<ControlData, ControlDataError> {
        todo!()
    }
}
