//! Ending the sessions of clients: `pg_hba.conf` keeps out who comes, not who is in.

use std::io;
use std::time::Duration;

use crate::files::off_thread;
use crate::newcomers::Newcomer;
use crate::roles::{MONITOR, REPLICATOR, REWIND, SUPERUSER};
use crate::session::{APPLICATION, Session};
use crate::{Instance, SqlError};

/// How often the sessions are looked at again: a failover waits for their end.
const LOOK: Duration = Duration::from_millis(5);

/// Sessions of clients are not known to be gone.
#[derive(Debug, thiserror::Error)]
pub enum ClientSessionsError {
    /// PostgreSQL did not answer well.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// PostgreSQL's processes cannot be looked at or ended.
    #[error("could not look for clients that are logging in")]
    Newcomers(#[source] io::Error),
    /// Some live on.
    #[error(
        "{count} sessions of clients, and clients logging in as processes {newcomers:?}, did not end within {within:?}"
    )]
    Alive {
        /// How many sessions.
        count: i64,
        /// Who is logging in.
        newcomers: Vec<i32>,
        /// The limit.
        within: Duration,
    },
}

impl Instance {
    /// Ends every session but the cluster's own, and returns how many there were at first, once none is left. Sessions on a
    /// standby become sessions of a primary at its promotion, and write: clients are kept out of new ones first (see
    /// [`crate::ClientAccess::Closed`]), then this is called, then it is promoted.
    ///
    /// The cluster's own are the agent's, and those of the monitor, of `pg_rewind` and of the standbys, whom `pg_hba.conf`
    /// lets in at any time and who can write nothing. Whoever is still logging in is ended too, whoever it is: it may have
    /// come before the door was closed, and PostgreSQL shows it only when it is in.
    ///
    /// # Errors
    /// When some are left, or PostgreSQL does not answer, within the limit.
    pub async fn end_client_sessions(&self, within: Duration) -> Result<i64, ClientSessionsError> {
        let end_sql = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE backend_type IN ('client backend', 'walsender')
             AND NOT (application_name = '{APPLICATION}' AND coalesce(usename, '') = '{SUPERUSER}')
             AND coalesce(usename, '') NOT IN ('{MONITOR}', '{REWIND}', '{REPLICATOR}')"
        );
        let action = "end the sessions of clients";
        let mut session = self.session(within).await?;
        let mut newcomers = self.newcomers(&mut session).await?;
        for newcomer in &newcomers {
            newcomer.end().map_err(ClientSessionsError::Newcomers)?;
        }
        let found: i64 = session.value(action, &end_sql).await?;
        let mut count = found;
        while count > 0 || !newcomers.is_empty() {
            if session.is_over() {
                let newcomers = newcomers.iter().map(Newcomer::pid).collect();
                return Err(ClientSessionsError::Alive { count, newcomers, within });
            }
            tokio::time::sleep(LOOK).await;
            newcomers.retain(Newcomer::is_there);
            count = session.value(action, &end_sql).await?;
        }
        Ok(found)
    }

    /// Those that PostgreSQL has forked by now and does not show.
    async fn newcomers(&self, session: &mut Session) -> Result<Vec<Newcomer>, ClientSessionsError> {
        let own = "SELECT pg_backend_pid()";
        let backend: i32 = session.value("ask for the own process", own).await?;
        let instance = self.clone();
        // Before those that are in: whoever gets in meanwhile is in both.
        let children = off_thread(move || {
            let postmaster = instance.running_pid().map_err(io::Error::other)?;
            let postmaster = postmaster.ok_or(io::ErrorKind::NotFound)?;
            Newcomer::children_of(postmaster, backend)
        });
        let mut newcomers = children.await.map_err(ClientSessionsError::Newcomers)?;
        let shown = "SELECT coalesce(array_agg(pid), '{}') FROM pg_stat_activity";
        let shown: Vec<i32> = session.value("ask who is in", shown).await?;
        newcomers.retain(|newcomer| !shown.contains(&newcomer.pid()));
        Ok(newcomers)
    }
}
