use crate::{Desired, FileError, Instance, SettingsError, SqlError};

/// What came of configuring a running server.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Configured {
    /// Settings of ours that something later in the files had overridden, and that were taken back from it
    /// (`postgresql.auto.conf`).
    pub taken_back: Vec<String>,
    /// Settings that wait for a restart.
    pub pending_restart: Vec<String>,
}

/// A running server is not configured as desired.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureError {
    /// The settings cannot be written.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// PostgreSQL did not answer.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// PostgreSQL did not load the new files in time.
    #[error("PostgreSQL did not load its configuration files in time")]
    NotLoaded,
    /// PostgreSQL finds errors in the files; those with an error are not in force.
    #[error("PostgreSQL refuses its configuration files: {}", problems.join("; "))]
    Refused {
        /// File, line and words of each.
        problems: Vec<String>,
    },
    /// Something still overrides ours.
    #[error("settings stay overridden: {}", names.join(", "))]
    Overridden {
        /// Their names.
        names: Vec<String>,
    },
}

impl Instance {
    /// Configures a running server: writes the files that differ, has them loaded, and checks that they are in force. Call it
    /// after every start too: it finds what `prepare_start` cannot know.
    ///
    /// # Errors
    /// When the server does not run, or ours is not in force afterwards.
    pub async fn configure(&self, desired: &Desired) -> Result<Configured, ConfigureError> {
        let _ = desired;
        todo!()
    }

    /// Has the files loaded, and returns when the postmaster has.
    ///
    /// # Errors
    /// When the server does not run, or has not loaded them in time.
    pub async fn reload(&self) -> Result<(), ConfigureError> {
        todo!()
    }
}
