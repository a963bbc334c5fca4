use std::time::Duration;

use tokio::time::Instant;

use crate::session::Session;
use crate::{Instance, Observation, Silence, SqlError, Status};

/// Looks at one PostgreSQL again and again: one query a look, over one session that is kept.
#[derive(Debug)]
pub struct Observer {
    instance: Instance,
    session: Option<Session>,
}

impl Observer {
    /// For `instance`. Connects at the first look.
    #[must_use]
    pub fn new(instance: Instance) -> Self {
        Self { instance, session: None }
    }

    /// Looks once. Never fails: silence is an observation.
    pub async fn observe(&mut self, within: Duration) -> Observation {
        let deadline = Instant::now() + within;
        match self.look(deadline, within).await {
            Ok(status) => Observation::Answered(Box::new(status)),
            Err(error) => Observation::Silent(Silence::from(&error)),
        }
    }

    /// The session is put back only after a whole answer: one that was cut short would answer the wrong question.
    async fn look(&mut self, deadline: Instant, within: Duration) -> Result<Status, SqlError> {
        if let Some(mut session) = self.session.take() {
            session.set_deadline(deadline);
            match session.status().await {
                Ok(status) => {
                    self.session = Some(session);
                    return Ok(status);
                }
                Err(error @ SqlError::Deadline { .. }) => return Err(error),
                // It ended since the last look, as with a restart: a new one tells what is true now.
                Err(SqlError::Connect(_) | SqlError::Query { .. } | SqlError::Answer { .. }) => {}
            }
        }
        let mut session = self.instance.session_in("postgres", deadline).await?;
        let limit = format!("SET statement_timeout = {}", within.as_millis().max(1));
        session.execute("set the limit of a look", &limit).await?;
        let status = session.status().await?;
        self.session = Some(session);
        Ok(status)
    }
}
