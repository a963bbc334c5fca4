use std::time::Duration;

use sb_pgtypes::Position;

use crate::session::POLL;
use crate::{Instance, Role, SqlError};

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
    /// It is promoted, but the history file of its new timeline is missing or damaged.
    #[error("the lineage of the promoted server cannot be read")]
    LineageUnknown,
    /// It is out of recovery, and read-only nevertheless.
    #[error("the promoted server does not accept writes: `default_transaction_read_only` is on")]
    ReadOnly,
}

impl Instance {
    /// Promotes a standby and returns its first position on the new timeline. Of a server that is a primary already it
    /// returns the position: a repeated promotion is none.
    ///
    /// The standby should be frozen: PostgreSQL waits for a receiver's end, and for readers in the way of replay.
    ///
    /// # Errors
    /// When it is not certain to be read-write within the limit.
    pub async fn promote(&self, within: Duration) -> Result<Position, PromoteError> {
        let mut session = self.session(within).await?;
        if session.role().await? == Role::Standby {
            session.execute("promote", "SELECT pg_promote(wait => false)").await?;
        }
        while session.role().await? == Role::Standby {
            if session.is_over() {
                return Err(PromoteError::Deadline { within });
            }
            tokio::time::sleep(POLL).await;
        }
        let read_only: String =
            session.value("ask whether it accepts writes", "SHOW default_transaction_read_only").await?;
        if read_only != "off" {
            return Err(PromoteError::ReadOnly);
        }
        session.status().await?.position.ok_or(PromoteError::LineageUnknown)
    }
}
