use sb_pgtypes::{Lineage, LineageError, Position};

use crate::{ClusterState, ControlDataError, FileError, Instance, ToolError};

/// The position or lineage cannot be known.
#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    /// The control file cannot be read.
    #[error(transparent)]
    ControlData(#[from] ControlDataError),
    /// `pg_waldump` did not succeed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A history file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A history file has another form.
    #[error("the history of timeline {timeline} is damaged")]
    History {
        /// The timeline.
        timeline: u32,
        /// Why.
        #[source]
        source: LineageError,
    },
    /// A primary that did not end in order has no shutdown checkpoint.
    #[error("the server was not shut down in order ({state:?}): its WAL has no shutdown checkpoint")]
    NotShutDown {
        /// What the control file says.
        state: ClusterState,
    },
    /// WAL is not where the control file says.
    #[error("the shutdown checkpoint's record could not be read")]
    NoRecord,
}

impl Instance {
    /// The end of WAL of a primary that was shut down in order: the end of its shutdown checkpoint's record, exact (R11).
    ///
    /// # Errors
    /// When it was not shut down in order, or the record cannot be read.
    pub async fn end_of_wal(&self) -> Result<Position, PositionError> {
        todo!()
    }

    /// The end of the last whole record on the disk of a stopped server; [`None`] when the log cannot be read to an end in
    /// time. After a crash this is what recovery will reach.
    ///
    /// # Errors
    /// When the control file or the lineage cannot be read.
    pub async fn position_on_disk(&self) -> Result<Option<Position>, PositionError> {
        todo!()
    }

    /// The history of the newest timeline that a stopped server has WAL of.
    ///
    /// # Errors
    /// When the control file or a history file cannot be read.
    pub async fn lineage(&self) -> Result<Lineage, PositionError> {
        todo!()
    }
}
