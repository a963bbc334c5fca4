use std::time::Duration;

use sb_pgtypes::{Position, TimelineId};

use crate::files::off_thread;
use crate::histories::Histories;
use crate::session::POLL;
use crate::{Instance, Role, SqlError, TimelineError};

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
    /// It cannot take the number; nothing was changed.
    #[error(transparent)]
    Timeline(#[from] TimelineError),
    /// It is promoted, but to another timeline than the one it was to take, which another server may have taken too.
    #[error("the server is promoted to timeline {found} instead of {wanted}")]
    OtherTimeline {
        /// The number that was reserved for it.
        wanted: TimelineId,
        /// The number that it has.
        found: TimelineId,
    },
}

impl Instance {
    /// Promotes a standby to `timeline`, a number that nobody else uses, and returns its first position there. Of a server
    /// that is a primary on it already it returns the position: a repeated promotion is none.
    ///
    /// The standby should be frozen: PostgreSQL waits for a receiver's end, and for readers in the way of replay. Files that
    /// keep earlier numbers free stay behind, also when the promotion fails; the next start takes away what no timeline
    /// follows.
    ///
    /// # Errors
    /// When it is not certain to be read-write on that timeline within the limit.
    pub async fn promote(&self, timeline: TimelineId, within: Duration) -> Result<Position, PromoteError> {
        let mut session = self.session(within).await?;
        if session.role().await? == Role::Standby {
            let (wal, owner) = (self.in_data("pg_wal"), self.config().run_as);
            off_thread(move || Histories::read(&wal, owner)?.keep_free_before(timeline)).await?;
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
        let position = session.status().await?.position.ok_or(PromoteError::LineageUnknown)?;
        match position.lineage.current() {
            found if found == timeline => Ok(position),
            found => Err(PromoteError::OtherTimeline { wanted: timeline, found }),
        }
    }
}
