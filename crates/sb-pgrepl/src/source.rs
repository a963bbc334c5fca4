//! Questions to the server that is copied or followed, over the mesh, as the role of `pg_rewind`.

use std::time::Duration;

use sb_pgtypes::{Lsn, TimelineId};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Connection};
use tokio::time::timeout;

use crate::roles::REWIND;
use crate::{Instance, SqlError, Upstream};

/// The timeline that is written on, and the end of the durable log. Both functions refuse in recovery.
const POSITION_SQL: &str =
    "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8), pg_current_wal_flush_lsn()::text";

impl Instance {
    /// Where the log of a primary ends: the timeline it writes on, and the end of what is durable there.
    ///
    /// # Errors
    /// When it does not answer within the limit, or is no primary.
    pub async fn source_position(
        &self,
        source: &Upstream,
        within: Duration,
    ) -> Result<(TimelineId, Lsn), SqlError> {
        let action = "ask the source for the end of its WAL";
        let work = async {
            let mut connection = self.source_session(source).await?;
            let query = sqlx::query_as::<_, (String, String)>(POSITION_SQL).fetch_one(&mut connection);
            query.await.map_err(|source| SqlError::Query { action, source })
        };
        let (timeline, lsn) = timeout(within, work).await.map_err(|_| SqlError::Deadline { action })??;
        let number = u32::from_str_radix(&timeline, 16).ok();
        let position = number.and_then(|n| TimelineId::try_from(n).ok()).zip(lsn.parse().ok());
        position.ok_or_else(|| SqlError::Answer { action, detail: format!("{timeline} {lsn}") })
    }

    /// A session there, in the database `postgres`. Bound it in time.
    pub(crate) async fn source_session(&self, source: &Upstream) -> Result<PgConnection, SqlError> {
        let tls = &self.config().tls;
        let options = PgConnectOptions::new_without_pgpass()
            .host(&source.address.to_string())
            .port(source.port)
            .username(REWIND)
            .password(self.config().secrets.rewind.expose())
            .database("postgres")
            .ssl_mode(PgSslMode::VerifyCa)
            .ssl_root_cert(&tls.ca)
            .ssl_client_cert(&tls.certificate)
            .ssl_client_key(&tls.key)
            .application_name(self.config().server.as_str())
            .disable_statement_logging();
        PgConnection::connect_with(&options).await.map_err(SqlError::Connect)
    }
}
