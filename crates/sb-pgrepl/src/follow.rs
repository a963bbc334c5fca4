//! Whom a standby follows: somebody, nobody, or somebody up to a point.

use std::time::Duration;

use sb_pgtypes::{Lsn, Position};
use tokio::time::Instant;

use crate::files::off_thread;
use crate::session::{POLL, Session};
use crate::{ConfigureError, FileError, Instance, Role, SqlError, Status, Upstream};

/// Longest wait until PostgreSQL has loaded whom to follow.
const FOLLOW_LIMIT: Duration = Duration::from_secs(5);
/// Time for the freeze that ends a fetch.
const FREEZE_AFTER_FETCH: Duration = Duration::from_secs(5);

/// The standby was not re-pointed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The files were not loaded.
    #[error(transparent)]
    Configure(#[from] ConfigureError),
}

/// The standby is not known to be frozen at a known position.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// A file cannot be written, or was not loaded.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// PostgreSQL did not answer well.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The receiver lives on.
    #[error("the WAL receiver did not end in time")]
    ReceiverLives,
    /// What is on disk is not all replayed.
    #[error("replay did not reach the end of what is on disk in time")]
    ReplayBehind,
    /// The source did not bring it in time.
    #[error("did not receive WAL up to {until} in time: it ends at {reached}")]
    FetchBehind {
        /// What was wanted.
        until: Lsn,
        /// What there is.
        reached: Lsn,
    },
    /// This server is not a standby.
    #[error("cannot freeze a primary")]
    Primary,
    /// It is frozen, but the history file of its timeline is missing or damaged.
    #[error("the lineage of the frozen standby cannot be read")]
    LineageUnknown,
}

/// Ends every session that is in a transaction, but the agent's: any of them may hold what replay waits for. A cancel is not
/// enough, because an idle transaction cannot be cancelled.
const END_READERS_SQL: &str = "
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND (state <> 'idle' OR backend_xmin IS NOT NULL)
      AND NOT (application_name = 'sb-agent' AND usename = 'postgres')";

const END_RECEIVER_SQL: &str =
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'walreceiver'";

/// How many looks in a row must show a standby at rest: the first may have come before the startup process has read that
/// it has no upstream any more.
const LOOKS_AT_REST: u32 = 2;

impl Instance {
    /// Points a running standby at an upstream. Returns once PostgreSQL has loaded it, not once it streams.
    ///
    /// # Errors
    /// When the server does not run, or does not load it in time.
    pub async fn follow(&self, upstream: &Upstream) -> Result<(), FollowError> {
        self.point_at(Some(upstream.clone()), Instant::now() + FOLLOW_LIMIT).await
    }

    async fn point_at(&self, upstream: Option<Upstream>, deadline: Instant) -> Result<(), FollowError> {
        let instance = self.clone();
        off_thread(move || instance.write_upstream(upstream.as_ref())).await?;
        self.reload_by(deadline).await?;
        Ok(())
    }

    /// Stops receiving for good (until [`Instance::follow`]) and replays what is on disk: from its return on, the position
    /// cannot move, and no primary gets another acknowledgement from here (rule R4). Sessions that hold up replay are ended,
    /// and a pause of replay is lifted.
    ///
    /// On PostgreSQL 15 an empty `primary_conninfo` alone leaves the receiver running for seconds while replay is blocked,
    /// because it is the blocked startup process that would end it. So the receiver is ended from here.
    ///
    /// # Errors
    /// When that is not certain within the limit. The server may be frozen nevertheless.
    pub async fn freeze(&self, within: Duration) -> Result<Position, FreezeError> {
        let deadline = Instant::now() + within;
        let mut session = self.session_in("postgres", deadline).await?;
        if session.role().await? == Role::Primary {
            return Err(FreezeError::Primary);
        }
        self.point_at(None, deadline).await?;
        let mut at_rest = 0;
        loop {
            let status = session.status().await?;
            at_rest = if status.receives_nothing { at_rest + 1 } else { 0 };
            match status.position {
                _ if status.role == Role::Primary => return Err(FreezeError::Primary),
                Some(position) if at_rest >= LOOKS_AT_REST => return Ok(position),
                // At rest, and yet no position: the history of its timeline cannot be read.
                None if at_rest >= LOOKS_AT_REST => return Err(FreezeError::LineageUnknown),
                Some(_) | None if session.is_over() && status.receiver.is_some() => {
                    return Err(FreezeError::ReceiverLives);
                }
                Some(_) | None if session.is_over() => return Err(FreezeError::ReplayBehind),
                Some(_) | None => press_on(&mut session, &status).await?,
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Follows `source` until this server's WAL reaches `until`, then freezes again (rule R5).
    ///
    /// # Errors
    /// When it is not there within the limit; then it is frozen at what it has, if that worked.
    pub async fn fetch(
        &self,
        source: &Upstream,
        until: Lsn,
        within: Duration,
    ) -> Result<Position, FreezeError> {
        let deadline = Instant::now() + within;
        self.point_at(Some(source.clone()), deadline).await?;
        let mut session = self.session_in("postgres", deadline).await?;
        loop {
            let status = session.status().await?;
            let reached = status.received.max(status.replayed).unwrap_or_default();
            if reached >= until || session.is_over() {
                break;
            }
            tokio::time::sleep(POLL).await;
        }
        let frozen = self.freeze(FREEZE_AFTER_FETCH).await?;
        let reached = frozen.flushed;
        if reached >= until { Ok(frozen) } else { Err(FreezeError::FetchBehind { until, reached }) }
    }
}

/// Removes what stands between a standby and its rest.
async fn press_on(session: &mut Session, status: &Status) -> Result<(), SqlError> {
    if status.receiver.is_some() {
        session.execute("end the WAL receiver", END_RECEIVER_SQL).await?;
    }
    if status.replay_paused {
        session.execute("resume replay", "SELECT pg_wal_replay_resume()").await?;
    }
    if status.replay_blocked {
        session.execute("end the sessions that hold up replay", END_READERS_SQL).await?;
    }
    Ok(())
}
