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
    /// The end of the flushed WAL, taken after every walsender had loaded the setting: what was confirmed before it may have
    /// had other witnesses, so the setting counts where members have flushed this (rule R6).
    ///
    /// [`None`] when nobody is waited for, or on a standby.
    pub loaded_at: Option<Lsn>,
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
    /// A walsender still goes by another setting.
    #[error("the walsender of `{standby}` has not loaded `{setting}` in time")]
    NotLoaded {
        /// Whose.
        standby: String,
        /// What it should have loaded.
        setting: String,
    },
}

/// Ahead of the members in a setting that is only passed through. No server has this name.
const NOBODY: &str = "sb nobody";

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

    /// The same with an order among the members, which every walsender that has loaded it shows: stricter than
    /// [`SyncStandbys::setting`], and never of the same priority.
    fn ordered_setting(&self) -> String {
        let names: Vec<_> = self.members.iter().map(|name| format!("\"{name}\"")).collect();
        format!("FIRST {} (\"{NOBODY}\", {})", self.count, names.join(", "))
    }

    /// Whether walsenders that go by `before` might confirm with fewer than `count`, which no view shows: their priority says
    /// that they count a standby, not of how many.
    fn asks_more_than(&self, before: &str) -> bool {
        !before.is_empty() && counted(before).is_none_or(|number| number < self.count)
    }

    /// A standby whose walsender does not go by the setting that gives members a priority of `at_least` to `at_most`. One that
    /// has not heard from its standby yet shows 0, and has begun with what is in force.
    fn not_loaded<'a>(&self, senders: &'a [Sender], (at_least, at_most): (i32, i32)) -> Option<&'a Sender> {
        let member = |s: &Sender| self.members.iter().any(|name| name.as_str() == s.application_name);
        let loaded = |s: &Sender| {
            if member(s) { (at_least..=at_most).contains(&s.sync_priority) } else { s.sync_priority == 0 }
        };
        senders.iter().find(|s| s.flushed.is_some() && !loaded(s))
    }
}

/// n of `ANY n (...)`.
fn counted(setting: &str) -> Option<u32> {
    setting.strip_prefix("ANY ")?.split_once(" (")?.0.parse().ok()
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

    /// Sets whom commits wait for, and returns once that is in force: a new session sees it, and every walsender has loaded it
    /// (rule R6). Whether the members are there and flush is not waited for; [`SyncEffective::loaded_at`] says what they must
    /// have flushed before the setting counts. On a standby there are no commits yet: it returns once the setting is loaded.
    /// Set it there before a promotion; after that [`Instance::prove_commits_wait`] comes before clients come in, and this
    /// once more for the LSN.
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
        let before = self.session_in("postgres", deadline).await?.status().await?;
        let primary = before.role == Role::Primary && sync.count > 0;
        if primary && sync.asks_more_than(&before.synchronous_standby_names) {
            let mut session = self.load_sync_setting(&sync.ordered_setting(), deadline).await?;
            sync.wait_loaded(&mut session, (2, i32::MAX)).await?;
        }
        let setting = sync.setting();
        let mut session = self.load_sync_setting(&setting, deadline).await?;
        if !primary {
            return Ok(SyncEffective { setting, loaded_at: None });
        }
        if before.synchronous_standby_names.is_empty() {
            // The walsenders below show what they have loaded; the checkpointer does not.
            self.commits_wait(&mut session).await?;
        }
        sync.wait_loaded(&mut session, (1, 1)).await?;
        let action = "ask for the end of WAL";
        let text: String = session.value(action, "SELECT pg_current_wal_flush_lsn()::text").await?;
        let loaded_at = text.parse().map_err(|_| SqlError::Answer { action, detail: text })?;
        Ok(SyncEffective { setting, loaded_at: Some(loaded_at) })
    }

    /// Writes the setting down and has it loaded; gives a session that has loaded it too.
    async fn load_sync_setting(&self, setting: &str, deadline: Instant) -> Result<Session, SyncError> {
        let (instance, line) = (self.clone(), assignment("synchronous_standby_names", setting) + "\n");
        off_thread(move || instance.write_data_file(SYNC_CONF, &line)).await?;
        // A session of its own: an old one loads the files only with its next statement.
        let mut session = self.reload_by(deadline).await?;
        let found = session.status().await?.synchronous_standby_names;
        if found != setting {
            return Err(SyncError::Overridden { expected: setting.to_owned(), found });
        }
        Ok(session)
    }
}

impl SyncStandbys {
    async fn wait_loaded(&self, session: &mut Session, priorities: (i32, i32)) -> Result<(), SyncError> {
        loop {
            let status = session.status().await?;
            let Some(sender) = self.not_loaded(&status.senders, priorities) else {
                return Ok(());
            };
            if session.is_over() {
                let (standby, setting) = (sender.application_name.clone(), self.setting());
                return Err(SyncError::NotLoaded { standby, setting });
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_of(names: &[&str]) -> SyncStandbys {
        SyncStandbys { count: 2, members: names.iter().map(|n| ServerName::new(*n).unwrap()).collect() }
    }

    #[test]
    fn only_a_larger_number_takes_a_way_round() {
        let two = two_of(&["b", "c"]);
        assert!(two.asks_more_than("ANY 1 (\"b\", \"c\")"));
        assert!(two.asks_more_than("b"), "whatever it is");
        assert!(!two.asks_more_than("ANY 2 (\"b\")"));
        assert!(!two.asks_more_than("ANY 3 (\"b\")"));
        assert!(!two.asks_more_than(""));
    }

    #[test]
    fn a_walsender_that_counts_whom_it_should_not_has_not_loaded_the_setting() {
        let sender = |name: &str, sync_priority| Sender {
            application_name: name.into(),
            state: "streaming".into(),
            flushed: Some(Lsn::new(1)),
            replayed: None,
            sync_state: String::new(),
            sync_priority,
        };
        let two = two_of(&["b", "c"]);
        assert_eq!(two.not_loaded(&[sender("b", 1), sender("c", 1), sender("d", 0)], (1, 1)), None);
        assert!(two.not_loaded(&[sender("b", 1), sender("d", 1)], (1, 1)).is_some());
        assert!(two.not_loaded(&[sender("b", 0)], (1, 1)).is_some());
        assert!(two.not_loaded(&[sender("b", 1)], (2, i32::MAX)).is_some());
    }
}
