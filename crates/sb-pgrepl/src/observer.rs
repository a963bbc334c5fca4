use std::time::Duration;

use crate::{Instance, Observation};

/// Looks at one PostgreSQL again and again: one query a look, over one session that is kept.
#[derive(Debug)]
pub struct Observer {
    instance: Instance,
}

impl Observer {
    /// For `instance`. Connects at the first look.
    #[must_use]
    pub fn new(instance: Instance) -> Self {
        Self { instance }
    }

    /// Looks once. Never fails: silence is an observation.
    pub async fn observe(&mut self, within: Duration) -> Observation {
        let _ = (within, &self.instance);
        todo!()
    }
}
