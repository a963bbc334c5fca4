use crate::{Instance, Secret, SqlError, SqlName};

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
    /// PostgreSQL did not answer well.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

impl Instance {
    /// Makes the roles, their grants and the application's database, as far as they are missing, and sets their passwords.
    ///
    /// # Errors
    /// On a standby, or when PostgreSQL refuses.
    pub async fn ensure_roles(&self, application: &Application) -> Result<(), RolesError> {
        let _ = application;
        todo!()
    }
}
