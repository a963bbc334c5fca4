use std::time::Duration;

use sb_pgtypes::Position;

use crate::{Instance, PositionError, SqlError};

/// The server is not known to be a primary.
#[derive(Debug, thiserror::Error)]
pub enum PromoteError {
    /// It still is in recovery when the time is over. It may be promoted later: only a stop prevents that.
    #[error("promotion did not finish within {within:?}")]
    Deadline {
        /// The limit.
        within: Duration,
    },
    /// PostgreSQL did not answer well.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The new lineage cannot be read.
    #[error(transparent)]
    Position(#[from] PositionError),
    /// It is out of recovery, and read-only nevertheless.
    #[error("the promoted server does not accept writes: `default_transaction_read_only` is on")]
    ReadOnly,
}

impl Instance {
    /// Promotes a standby and returns its first position on the new timeline. Of a server that is a primary already it
    /// returns the position: a repeated promotion is none.
    ///
    /// # Errors
    /// When it is not certain to be read-write within the limit.
    pub async fn promote(&self, within: Duration) -> Result<Position, PromoteError> {
        let _ = within;
        todo!()
    }
}
