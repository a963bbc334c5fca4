use std::time::Duration;

use crate::{Instance, Role, Silence, SqlError};

/// PostgreSQL does not accept sessions.
#[derive(Debug, thiserror::Error)]
#[error("PostgreSQL accepted no session within {within:?}: {last}")]
pub struct ReadyError {
    /// The limit.
    pub within: Duration,
    /// The last reason.
    pub last: Silence,
}

impl Instance {
    /// Waits until PostgreSQL accepts sessions, and says as what it runs.
    ///
    /// # Errors
    /// When it does not within the limit.
    pub async fn wait_ready(&self, within: Duration) -> Result<Role, ReadyError> {
        let _ = within;
        todo!()
    }

    /// Performs a checkpoint.
    ///
    /// # Errors
    /// When PostgreSQL does not answer within the limit.
    pub async fn checkpoint(&self, within: Duration) -> Result<(), SqlError> {
        let _ = within;
        todo!()
    }
}
