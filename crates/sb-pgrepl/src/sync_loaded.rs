//! Proof that commits wait for the synchronous standbys.
//!
//! Until the checkpointer has loaded `synchronous_standby_names`, commits do not wait at all, whatever every session shows
//! (`sync_standbys_defined` in PostgreSQL's `syncrep.c`), and no view shows what the checkpointer has loaded. It loads
//! before it starts a checkpoint, so one that starts now is a proof, but an expensive one: right after a promotion it
//! writes out all that recovery has left in memory. One commit that is seen waiting proves the same in milliseconds.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::session::Session;
use crate::{Instance, SqlError, SyncError};

/// Commits tried before the expensive proof. One that was not seen waiting proves nothing: a standby may be fast.
const COMMITS_MAX: u32 = 10;

/// A transaction that writes WAL, and nothing else.
const COMMIT_SQL: &str =
    "SET synchronous_commit = remote_apply; SELECT pg_logical_emit_message(true, 'show-build', '')";

impl Instance {
    /// Returns once it is certain that commits wait for whom `synchronous_standby_names` says; at once when that is nobody.
    /// To be called after a promotion and before clients come in. The standbys need not be there: what is proven is that
    /// PostgreSQL waits for them.
    ///
    /// # Errors
    /// When that is not certain within the limit, and on a standby, which has no commits.
    pub async fn prove_commits_wait(&self, within: Duration) -> Result<(), SyncError> {
        let mut session = self.session_in("postgres", Instant::now() + within).await?;
        let action = "ask for the synchronous standbys";
        let names: String = session.value(action, "SHOW synchronous_standby_names").await?;
        if names.is_empty() { Ok(()) } else { self.commits_wait(&mut session).await }
    }

    pub(crate) async fn commits_wait(&self, session: &mut Session) -> Result<(), SyncError> {
        for _ in 0..COMMITS_MAX {
            if self.one_commit_waits(session).await? {
                return Ok(());
            }
        }
        Ok(session.execute("have the checkpointer load the synchronous standbys", "CHECKPOINT").await?)
    }

    /// Whether a commit was seen waiting; it waits no longer afterwards.
    async fn one_commit_waits(&self, session: &mut Session) -> Result<bool, SqlError> {
        let mut committer = self.session_in("postgres", session.deadline()).await?;
        let pid: i32 = committer.value("ask for a process id", "SELECT pg_backend_pid()").await?;
        let waits = format!(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'SyncRep')"
        );
        let mut commit = JoinSet::new();
        commit.spawn(async move { committer.execute("write a commit", COMMIT_SQL).await });
        loop {
            if session.value("look at a commit", &waits).await? {
                let release = format!("SELECT pg_cancel_backend({pid})");
                session.execute("release a commit", &release).await?;
                return Ok(true);
            }
            if let Some(ended) = commit.try_join_next() {
                ended.expect("a statement does not panic, and nobody aborts it")?;
                return Ok(false);
            }
        }
    }
}
