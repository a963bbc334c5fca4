//! Sessions of the superuser over the Unix socket, each with one deadline for everything done in it.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::time::{Instant, timeout_at};

use crate::roles::SUPERUSER;
use crate::{Instance, Role, Silence, SqlError};

/// The `application_name` of the agent's own sessions, which are never ended by it.
pub(crate) const APPLICATION: &str = "sb-agent";

/// How often a condition is looked at again while waiting for it.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// PostgreSQL does not accept sessions.
#[derive(Debug, thiserror::Error)]
#[error("PostgreSQL accepted no session within {within:?}: {last}")]
pub struct ReadyError {
    /// The limit.
    pub within: Duration,
    /// The last reason.
    pub last: Silence,
}

/// One session. Commits in it never wait for standbys: what the agent does for itself must work without them.
#[derive(Debug)]
pub(crate) struct Session {
    connection: PgConnection,
    deadline: Instant,
    /// No new question of a wait after this: the last tenth of the time is for the answer to the last one.
    last_question: Instant,
}

impl Instance {
    /// Opens a session of the superuser.
    pub(crate) async fn session(&self, within: Duration) -> Result<Session, SqlError> {
        self.session_in("postgres", Instant::now() + within).await
    }

    pub(crate) async fn session_in(&self, database: &str, deadline: Instant) -> Result<Session, SqlError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let options = self.local_options(database, left);
        let action = "open a session to PostgreSQL";
        let opened = timeout_at(deadline, PgConnection::connect_with(&options)).await;
        let connection = opened.map_err(|_| SqlError::Deadline { action })?.map_err(SqlError::Connect)?;
        Ok(Session { connection, deadline, last_question: deadline - left / 10 })
    }

    /// How to reach PostgreSQL over its socket; a statement left alone ends by itself after `statement_limit`.
    pub(crate) fn local_options(&self, database: &str, statement_limit: Duration) -> PgConnectOptions {
        let limit_ms = statement_limit.as_millis().max(1).to_string();
        PgConnectOptions::new_without_pgpass()
            .socket(&self.config().run_dir)
            .port(self.config().port)
            .username(SUPERUSER)
            .database(database)
            .ssl_mode(PgSslMode::Disable)
            .application_name(APPLICATION)
            .options([("statement_timeout", limit_ms.as_str()), ("synchronous_commit", "local")])
            .disable_statement_logging()
    }

    /// Waits until PostgreSQL accepts sessions, and says as what it runs.
    ///
    /// # Errors
    /// When it does not within the limit.
    pub async fn wait_ready(&self, within: Duration) -> Result<Role, ReadyError> {
        let began = Instant::now();
        let deadline = began + within;
        loop {
            let last = match self.role(deadline).await {
                Ok(role) => return Ok(role),
                Err(error) => Silence::from(&error),
            };
            // PostgreSQL logs every attempt: often at first, seldom in a long recovery.
            let pause = (began.elapsed() / 10).clamp(POLL, POLL * 20);
            if Instant::now() + pause >= deadline {
                return Err(ReadyError { within, last });
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn role(&self, deadline: Instant) -> Result<Role, SqlError> {
        self.session_in("postgres", deadline).await?.role().await
    }

    /// Performs a checkpoint.
    ///
    /// # Errors
    /// When PostgreSQL does not answer within the limit.
    pub async fn checkpoint(&self, within: Duration) -> Result<(), SqlError> {
        self.session(within).await?.execute("perform a checkpoint", "CHECKPOINT").await
    }
}

impl Session {
    /// Runs one or several statements without parameters.
    pub(crate) async fn execute(&mut self, action: &'static str, sql: &str) -> Result<(), SqlError> {
        // Every dynamic part is a quoted name or literal made in this crate.
        let statement = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection);
        let done = timeout_at(self.deadline, statement).await.map_err(|_| SqlError::Deadline { action })?;
        done.map(|_| ()).map_err(|source| SqlError::Query { action, source })
    }

    /// The single value of a query without parameters.
    pub(crate) async fn value<T>(&mut self, action: &'static str, sql: &str) -> Result<T, SqlError>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        // As above.
        let query = sqlx::query_scalar::<_, T>(AssertSqlSafe(sql)).persistent(false);
        let answer = timeout_at(self.deadline, query.fetch_one(&mut self.connection)).await;
        answer
            .map_err(|_| SqlError::Deadline { action })?
            .map_err(|source| SqlError::Query { action, source })
    }

    /// As [`Session::value`], for a query that is asked again and again: parsed and planned once a session.
    pub(crate) async fn cached(
        &mut self,
        action: &'static str,
        sql: &'static str,
    ) -> Result<String, SqlError> {
        let query = sqlx::query_scalar(sql).fetch_one(&mut self.connection);
        let answer = timeout_at(self.deadline, query).await.map_err(|_| SqlError::Deadline { action })?;
        answer.map_err(|source| SqlError::Query { action, source })
    }

    /// The single text value of a query, read as JSON.
    pub(crate) async fn json<T: serde::de::DeserializeOwned>(
        &mut self,
        action: &'static str,
        sql: &str,
    ) -> Result<T, SqlError> {
        let text: String = self.value(action, sql).await?;
        serde_json::from_str(&text).map_err(|error| SqlError::Answer { action, detail: error.to_string() })
    }

    pub(crate) async fn role(&mut self) -> Result<Role, SqlError> {
        let recovering: bool = self.value("ask for the role", "SELECT pg_is_in_recovery()").await?;
        Ok(if recovering { Role::Standby } else { Role::Primary })
    }

    /// Whether a wait for a condition is over: then the reason is what was seen, not that a question came too late.
    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.last_question
    }

    pub(crate) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Gives the session new time, for a session that is kept.
    pub(crate) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }
}

impl From<&SqlError> for Silence {
    fn from(error: &SqlError) -> Self {
        match error {
            SqlError::Deadline { .. } => Self::Deadline,
            SqlError::Connect(source) | SqlError::Query { source, .. } => silence_of(source),
            SqlError::Answer { .. } => Self::Error(error.to_string()),
        }
    }
}

fn silence_of(error: &sqlx::Error) -> Silence {
    /// `cannot_connect_now`.
    const NOT_NOW: &str = "57P03";
    /// `query_canceled`: by `statement_timeout`, nobody else cancels these.
    const CANCELLED: &str = "57014";
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    match error {
        sqlx::Error::Io(io) if matches!(io.kind(), NotFound | ConnectionRefused) => Silence::NotRunning,
        sqlx::Error::Database(database) => match database.code().as_deref() {
            Some(NOT_NOW) if database.message().contains("shutting down") => Silence::Stopping,
            Some(NOT_NOW) => Silence::Starting,
            Some(CANCELLED) => Silence::Deadline,
            _ => Silence::Error(database.message().to_owned()),
        },
        other => Silence::Error(other.to_string()),
    }
}

/// A text as an SQL literal.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
