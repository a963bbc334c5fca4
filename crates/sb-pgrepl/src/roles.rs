//! The roles of a cluster, made on its primary.

use std::time::Duration;

use crate::session::{Session, literal};
use crate::{Instance, Role, Secret, SqlError, SqlName};

/// PostgreSQL's superuser: reachable through the Unix socket only.
pub(crate) const SUPERUSER: &str = "postgres";
/// Streams WAL; may do nothing else.
pub(crate) const REPLICATOR: &str = "replicator";
/// Reads statistics.
pub(crate) const MONITOR: &str = "sb_monitor";
/// Reads files for `pg_rewind`.
pub(crate) const REWIND: &str = "sb_rewind";

/// The application's own role and database.
#[derive(Clone, Debug)]
pub struct Application {
    /// The role that owns the database; not a superuser.
    pub owner: SqlName,
    /// Its password.
    pub password: Secret,
    /// The database.
    pub database: SqlName,
}

/// The roles are not all there.
#[derive(Debug, thiserror::Error)]
pub enum RolesError {
    /// This server is a standby.
    #[error("cannot make roles on a standby")]
    Standby,
    /// The application may not be one of the cluster's own roles: it would lose or share their rights.
    #[error("cannot make `{}` the application's owner role: the cluster uses that role itself", name.as_str())]
    Reserved {
        /// The role.
        name: SqlName,
    },
    /// PostgreSQL did not answer well.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

/// What `pg_rewind` needs of a role that is not a superuser (manual, pg_rewind, Notes), and the checkpoint that PostgreSQL 15
/// needs after a promotion before its control file names the new timeline.
const REWIND_GRANTS: [&str; 5] = [
    "GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text, boolean, boolean) TO sb_rewind",
    "GRANT EXECUTE ON FUNCTION pg_catalog.pg_stat_file(text, boolean) TO sb_rewind",
    "GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text) TO sb_rewind",
    "GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean) TO sb_rewind",
    "GRANT pg_checkpoint TO sb_rewind",
];

const UNLOGGED: &str =
    "SET log_statement = 'none'; SET log_min_duration_statement = -1; SET log_min_duration_sample = -1;
     SET log_min_error_statement = 'panic'";

/// Longest time for all of it.
const ROLES_SECONDS_MAX: u64 = 30;

impl Instance {
    /// Makes the roles, their grants and the application's database, as far as they are missing, and sets their passwords.
    ///
    /// # Errors
    /// On a standby, for a reserved owner, or when PostgreSQL refuses.
    pub async fn ensure_roles(&self, application: &Application) -> Result<(), RolesError> {
        if [SUPERUSER, REPLICATOR, MONITOR, REWIND].contains(&application.owner.as_str()) {
            return Err(RolesError::Reserved { name: application.owner.clone() });
        }
        let mut session = self.session(Duration::from_secs(ROLES_SECONDS_MAX)).await?;
        if session.role().await? == Role::Standby {
            return Err(RolesError::Standby);
        }
        let secrets = &self.config().secrets;
        // Before the text with the passwords is sent: PostgreSQL decides about logging it before it runs any of it.
        session.execute("keep passwords out of the log", UNLOGGED).await?;
        let mut sql = Vec::new();
        sql.extend(role(REPLICATOR, "REPLICATION", &secrets.replicator));
        sql.extend(role(MONITOR, "NOREPLICATION", &secrets.monitor));
        sql.extend(role(REWIND, "NOREPLICATION", &secrets.rewind));
        sql.extend(role(application.owner.as_str(), "NOREPLICATION", &application.password));
        sql.push(format!("GRANT pg_monitor TO {MONITOR}"));
        sql.extend(REWIND_GRANTS.map(str::to_owned));
        let transaction = format!("BEGIN; {}; COMMIT", sql.join("; "));
        session.execute("make the roles", &transaction).await?;
        ensure_database(&mut session, application).await?;
        Ok(())
    }
}

/// The role with exactly these rights, whatever it had before.
fn role(name: &str, replication: &str, password: &Secret) -> [String; 2] {
    let (quoted, text) = (format!("\"{name}\""), literal(name));
    let rights = format!("LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS {replication}");
    let password = literal(password.expose());
    [
        format!(
            "DO $sb$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {text}) \
             THEN CREATE ROLE {quoted}; END IF; END $sb$"
        ),
        format!("ALTER ROLE {quoted} {rights} PASSWORD {password}"),
    ]
}

/// Apart from the roles: `CREATE DATABASE` works in no transaction.
async fn ensure_database(session: &mut Session, application: &Application) -> Result<(), SqlError> {
    let (database, owner) = (&application.database, application.owner.quoted());
    let question =
        format!("SELECT EXISTS (SELECT FROM pg_database WHERE datname = {})", literal(database.as_str()));
    if !session.value::<bool>("look for the database", &question).await? {
        let sql = format!("CREATE DATABASE {} OWNER {owner}", database.quoted());
        session.execute("make the database", &sql).await?;
    }
    Ok(())
}
