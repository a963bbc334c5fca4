//! Ending the sessions of clients: `pg_hba.conf` keeps out who comes, not who is in.

use std::time::Duration;

use crate::newcomers::Newcomer;
use crate::roles::{MONITOR, REWIND, SUPERUSER};
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
    /// Some live on.
    #[error("{count} sessions of clients did not end within {within:?}")]
    Alive {
        /// How many.
        count: i64,
        /// The limit.
        within: Duration,
    },
}

impl Instance {
    /// Ends every session but the cluster's own, and returns how many there were at first, once none is left. Sessions on a
    /// standby become sessions of a primary at its promotion, and write: clients are kept out of new ones first (see
    /// [`crate::ClientAccess::Closed`]), then this is called, then it is promoted.
    ///
    /// The cluster's own are the agent's, and those of the monitor and of `pg_rewind`, whom `pg_hba.conf` lets in at any
    /// time and who can write nothing. Whoever is still proving its identity is ended too, whoever it is: it may have come
    /// before the door was closed, and PostgreSQL shows it only when it is in.
    ///
    /// # Errors
    /// When some are left, or PostgreSQL does not answer, within the limit.
    pub async fn end_client_sessions(&self, within: Duration) -> Result<i64, ClientSessionsError> {
        let end_sql = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'client backend'
             AND NOT (application_name = '{APPLICATION}' AND coalesce(usename, '') = '{SUPERUSER}')
             AND coalesce(usename, '') NOT IN ('{MONITOR}', '{REWIND}')"
        );
        let action = "end the sessions of clients";
        let mut session = self.session(within).await?;
        let mut newcomers = newcomers(&mut session).await?;
        let found: i64 = session.value(action, &end_sql).await?;
        let mut count = found;
        while count > 0 || !newcomers.is_empty() {
            if session.is_over() {
                let count = count + i64::try_from(newcomers.len()).unwrap_or(i64::MAX);
                return Err(ClientSessionsError::Alive { count, within });
            }
            tokio::time::sleep(LOOK).await;
            newcomers.retain(Newcomer::is_there);
            count = session.value(action, &end_sql).await?;
        }
        Ok(found)
    }
}

/// Those that PostgreSQL has forked by now and does not show, told to end.
async fn newcomers(session: &mut Session) -> Result<Vec<Newcomer>, ClientSessionsError> {
    let backend = session.value("ask for the own process", "SELECT pg_backend_pid()").await?;
    // Before those that are in: whoever gets in meanwhile is in both.
    let all = tokio::task::spawn_blocking(move || Newcomer::children_beside(backend)).await;
    let shown = "SELECT coalesce(array_agg(pid), '{}') FROM pg_stat_activity";
    let shown: Vec<i32> = session.value("ask who is in", shown).await?;
    let mut newcomers = all.unwrap_or_default();
    newcomers.retain(|newcomer| !shown.contains(&newcomer.pid()));
    newcomers.iter().for_each(Newcomer::end);
    Ok(newcomers)
}
