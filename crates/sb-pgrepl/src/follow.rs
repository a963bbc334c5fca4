use std::time::Duration;

use sb_pgtypes::{Lsn, Position};

use crate::{ConfigureError, FileError, Instance, PositionError, SqlError, Upstream};

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
    /// The lineage cannot be read.
    #[error(transparent)]
    Position(#[from] PositionError),
}

impl Instance {
    /// Points a running standby at an upstream. Returns once PostgreSQL has loaded it, not once it streams.
    ///
    /// # Errors
    /// When the server does not run, or does not load it in time.
    pub async fn follow(&self, upstream: &Upstream) -> Result<(), FollowError> {
        let _ = upstream;
        todo!()
    }

    /// Stops receiving for good (until [`Instance::follow`]) and replays what is on disk: from its return on, the position
    /// cannot move, and no primary gets another acknowledgement from here (rule R4). Survives a reload, not a restart with
    /// another upstream. Sessions that hold up replay are ended.
    ///
    /// # Errors
    /// When that is not certain within the limit. The server may be frozen nevertheless.
    pub async fn freeze(&self, within: Duration) -> Result<Position, FreezeError> {
        let _ = within;
        todo!()
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
        let _ = (source, until, within);
        todo!()
    }
}
