//! How a client gets into the database.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Connection, Executor, Row};

use super::ledger::WriteId;
use crate::place::Place;

/// Longest time to open a session; a host that is gone does not answer at all.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// Longest time to open a session to a server that is known to be there, on a machine that is busy with other things.
pub(crate) const PATIENT_LIMIT: Duration = Duration::from_secs(20);

/// Longest time to read every row back.
const READ_SECONDS_MAX: u64 = 60;

/// How a client reaches a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Way {
    /// At the server's own address.
    #[default]
    Direct,
    /// At 127.0.0.1, where the agent beside it listens: whichever server is primary answers.
    Proxy,
}

impl Way {
    /// Where agents listen for clients that write.
    pub const PROXY_PORT: u16 = 6432;
}

/// What a client knows of the database. Nothing of the cluster: not who is primary, nor how it is chosen.
#[derive(Debug, Clone)]
pub struct Access {
    /// TCP port on every server.
    pub port: u16,
    /// Database.
    pub database: String,
    /// The role that owns it.
    pub username: String,
    /// Its password.
    pub password: String,
    /// The certificate that servers must be able to prove; without one TLS is not used.
    pub authority: Option<PathBuf>,
    /// How it gets there.
    pub way: Way,
}

/// The database did not do what a client asked.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// It took too long.
    #[error("`{place}` did not answer within {limit:?}")]
    TimedOut {
        /// Which server.
        place: Place,
        /// How long was waited.
        limit: Duration,
    },
    /// It refused, or the connection broke.
    #[error("could not {what} on `{place}`")]
    Database {
        /// What was asked.
        what: &'static str,
        /// Which server.
        place: Place,
        /// What it said.
        #[source]
        source: sqlx::Error,
    },
}

impl Access {
    /// Opens a session. The calling thread must be in a place of the lab.
    ///
    /// # Errors
    /// When nobody answers within a second, or the server refuses. A proxy holds its clients, so there it takes patience.
    pub async fn connect(&self, place: Place) -> Result<PgConnection, AccessError> {
        let limit = match self.way {
            Way::Direct => CONNECT_LIMIT,
            Way::Proxy => PATIENT_LIMIT,
        };
        self.connect_within(limit, place).await
    }

    /// Opens a session, with patience: `limit`.
    ///
    /// # Errors
    /// When nobody answers within it, or the server refuses.
    pub async fn connect_within(&self, limit: Duration, place: Place) -> Result<PgConnection, AccessError> {
        let options = self.options(place);
        within(limit, place, "connect", PgConnection::connect_with(&options)).await
    }

    /// Makes the table that the writers use, on a primary, empty. It has no unique index, so that a doubled row shows.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create_table(&self, place: Place) -> Result<(), AccessError> {
        const STATEMENT: &str =
            "drop table if exists show_build_lab; create table show_build_lab (id bigint not null)";
        let mut session = self.connect_within(PATIENT_LIMIT, place).await?;
        let limit = Duration::from_secs(READ_SECONDS_MAX);
        within(limit, place, "create the table", session.execute(STATEMENT)).await.map(drop)
    }

    /// Every row that a server has.
    ///
    /// # Errors
    /// When the server does not answer within a minute, or refuses.
    pub async fn read_rows(&self, place: Place) -> Result<Vec<WriteId>, AccessError> {
        let mut session = self.connect_within(PATIENT_LIMIT, place).await?;
        let limit = Duration::from_secs(READ_SECONDS_MAX);
        let reading = session.fetch_all("select id from show_build_lab");
        let rows = within(limit, place, "read the rows", reading).await?;
        Ok(rows.iter().map(|row| WriteId(row.get(0))).collect())
    }

    /// Removes a row, to show that the check notices.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn delete_row(&self, place: Place, row: WriteId) -> Result<(), AccessError> {
        let mut session = self.connect(place).await?;
        let limit = Duration::from_secs(READ_SECONDS_MAX);
        let deletion = sqlx::query("delete from show_build_lab where id = $1").bind(row.0);
        within(limit, place, "delete a row", deletion.execute(&mut session)).await.map(drop)
    }

    fn options(&self, place: Place) -> PgConnectOptions {
        let (host, port) = match self.way {
            Way::Direct => (place.address(), self.port),
            Way::Proxy => (std::net::Ipv4Addr::LOCALHOST, Way::PROXY_PORT),
        };
        let options = PgConnectOptions::new_without_pgpass()
            .host(&host.to_string())
            .port(port)
            .database(&self.database)
            .username(&self.username)
            .password(&self.password)
            .application_name("show-build-lab")
            .disable_statement_logging();
        match &self.authority {
            None => options.ssl_mode(PgSslMode::Disable),
            Some(authority) => options.ssl_mode(PgSslMode::VerifyCa).ssl_root_cert(authority),
        }
    }
}

/// Waits for an answer of a server, so long and no longer.
pub(super) async fn within<T>(
    limit: Duration,
    place: Place,
    what: &'static str,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, AccessError> {
    match tokio::time::timeout(limit, answer).await {
        Err(_) => Err(AccessError::TimedOut { place, limit }),
        Ok(Err(source)) => Err(AccessError::Database { what, place, source }),
        Ok(Ok(value)) => Ok(value),
    }
}
