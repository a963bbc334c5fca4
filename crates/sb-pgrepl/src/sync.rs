use std::collections::BTreeSet;
use std::time::Duration;

use sb_pgtypes::Lsn;
use sb_topology::ServerName;
use tokio::time::Instant;

use crate::files::off_thread;
use crate::session::{POLL, Session};
use crate::settings::assignment;
use crate::{ConfigureError, FileError, Instance, Role, Sender, SqlError};

/// The file that says whom commits wait for; included last, and never changed by a start.
pub(crate) const SYNC_CONF: &str = "sb-sync.conf";

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
    ///
    /// [`None`] when nobody is waited for, or on a standby.
    pub flushed_past: Option<Lsn>,
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

impl SyncStandbys {
    /// As `synchronous_standby_names` says it.
    fn setting(&self) -> String {
        if self.count == 0 {
            return String::new();
        }
        let names: Vec<_> = self.members.iter().map(|name| format!("\"{name}\"")).collect();
        format!("ANY {} ({})", self.count, names.join(", "))
    }

    fn check(&self) -> Result<(), SyncError> {
        let members = self.members.len();
        let enough = usize::try_from(self.count).is_ok_and(|count| count <= members);
        if enough { Ok(()) } else { Err(SyncError::TooFew { count: self.count, members }) }
    }

    /// How many members the walsenders count as quorum, with everything before `past` on their disks.
    fn confirmed(&self, senders: &[Sender], past: Lsn) -> usize {
        let member = |s: &&Sender| self.members.iter().any(|name| name.as_str() == s.application_name);
        let flushed = |s: &&Sender| s.sync_state == "quorum" && s.flushed.is_some_and(|lsn| lsn >= past);
        let names: BTreeSet<_> =
            senders.iter().filter(member).filter(flushed).map(|s| &s.application_name).collect();
        names.len()
    }
}

impl SyncStandbys {
    async fn confirm(&self, session: &mut Session) -> Result<Lsn, SyncError> {
        // First that they count at all, then an LSN, then that they have it.
        self.wait_confirmed(session, Lsn::INVALID).await?;
        let action = "ask for the end of WAL";
        let text: String = session.value(action, "SELECT pg_current_wal_flush_lsn()::text").await?;
        let past = text.parse().map_err(|_| SqlError::Answer { action, detail: text })?;
        self.wait_confirmed(session, past).await?;
        Ok(past)
    }

    async fn wait_confirmed(&self, session: &mut Session, past: Lsn) -> Result<(), SyncError> {
        let needed = usize::try_from(self.count).unwrap_or(usize::MAX);
        loop {
            let confirmed = self.confirmed(&session.status().await?.senders, past);
            if confirmed >= needed {
                return Ok(());
            }
            if session.is_over() {
                return Err(SyncError::NotConfirmed { confirmed, count: self.count });
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Instance {
    /// Writes down whom commits of a stopped server will wait for from its next start on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn stage_sync_standbys(&self, sync: &SyncStandbys) -> Result<(), SyncError> {
        sync.check()?;
        let line = assignment("synchronous_standby_names", &sync.setting()) + "\n";
        Ok(self.write_data_file(SYNC_CONF, &line)?)
    }

    /// Sets whom commits wait for, and returns once that is in force: loaded by the walsenders, and an LSN taken afterwards
    /// flushed by `count` members (rule R6). On a standby there are no commits yet: it returns once the setting is loaded. Set
    /// it there before a promotion; after that [`Instance::prove_commits_wait`] comes before clients come in, and this once
    /// more for the confirmed LSN.
    ///
    /// # Errors
    /// When that is not certain within the limit; read again before anything is built on it.
    pub async fn set_sync_standbys(
        &self,
        sync: &SyncStandbys,
        within: Duration,
    ) -> Result<SyncEffective, SyncError> {
        sync.check()?;
        let deadline = Instant::now() + within;
        let mut session = self.session_in("postgres", deadline).await?;
        let before = session.status().await?;
        let setting = sync.setting();
        let (instance, line) = (self.clone(), assignment("synchronous_standby_names", &setting) + "\n");
        off_thread(move || instance.write_data_file(SYNC_CONF, &line)).await?;
        self.reload_by(deadline).await?;
        // A session of its own: an old one loads the files only with its next statement.
        let mut session = self.session_in("postgres", deadline).await?;
        let after = session.status().await?;
        if after.synchronous_standby_names != setting {
            return Err(SyncError::Overridden { expected: setting, found: after.synchronous_standby_names });
        }
        if after.role == Role::Standby || sync.count == 0 {
            return Ok(SyncEffective { setting, flushed_past: None });
        }
        if before.synchronous_standby_names.is_empty() {
            // The walsenders below show what they have loaded; the checkpointer does not.
            self.commits_wait(&mut session).await?;
        }
        let flushed_past = sync.confirm(&mut session).await?;
        Ok(SyncEffective { setting, flushed_past: Some(flushed_past) })
    }
}
