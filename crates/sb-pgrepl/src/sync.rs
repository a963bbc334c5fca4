use std::time::Duration;

use sb_pgtypes::Lsn;
use sb_topology::ServerName;

use crate::{ConfigureError, FileError, Instance, SqlError};

/// Whom a commit waits for: any `count` of `members`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SyncStandbys {
    /// How many; 0 with no members means nobody.
    pub count: u32,
    /// Out of these.
    pub members: Vec<ServerName>,
}

/// The synchronous standbys are in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncEffective {
    /// `synchronous_standby_names` as PostgreSQL shows it.
    pub setting: String,
    /// An LSN taken after the walsenders had loaded the setting, which `count` members have flushed.
    pub flushed_past: Lsn,
}

/// The synchronous standbys are not known to be in force. The setting may be.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// More are asked for than there are.
    #[error("cannot wait for {count} of {members} synchronous standbys")]
    TooFew {
        /// How many were asked for.
        count: u32,
        /// How many there are.
        members: usize,
    },
    /// The file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file was not loaded.
    #[error(transparent)]
    Configure(#[from] ConfigureError),
    /// PostgreSQL did not answer well.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// Something overrides the setting.
    #[error("`synchronous_standby_names` is `{found}`, not `{expected}`")]
    Overridden {
        /// As written.
        expected: String,
        /// As in force.
        found: String,
    },
    /// Fewer members than needed have answered.
    #[error("only {confirmed} of {count} needed synchronous standbys answered in time")]
    NotConfirmed {
        /// How many have.
        confirmed: usize,
        /// How many must.
        count: u32,
    },
}

impl Instance {
    /// Sets whom commits wait for, and returns once that is in force: loaded by the walsenders, and an LSN taken afterwards
    /// flushed by `count` members (rule R6).
    ///
    /// # Errors
    /// When that is not certain within the limit; read again before anything is built on it.
    pub async fn set_sync_standbys(
        &self,
        sync: &SyncStandbys,
        within: Duration,
    ) -> Result<SyncEffective, SyncError> {
        let _ = (sync, within);
        todo!()
    }
}
