use std::fmt;

use sb_topology::ServerName;

use crate::{Instance, SqlError};

/// The name of the physical replication slot that an upstream keeps for one server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotName(String);

impl SlotName {
    /// `sb_` and the server's name with `_` for `-`.
    #[must_use]
    pub fn for_server(server: &ServerName) -> Self {
        Self(format!("sb_{}", server.as_str().replace('-', "_")))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What was done about the slots.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SlotReport {
    /// Made.
    pub created: Vec<SlotName>,
    /// Dropped: their servers are members no more.
    pub dropped: Vec<SlotName>,
    /// Dropped and made again: they had lost WAL to the budget. Their servers may need a new clone.
    pub renewed: Vec<SlotName>,
    /// To be dropped, but in use.
    pub busy: Vec<SlotName>,
    /// Kept, but within a tenth of losing WAL to the budget.
    pub near_budget: Vec<SlotName>,
}

/// The slots are not as they should be.
#[derive(Debug, thiserror::Error)]
pub enum SlotsError {
    /// PostgreSQL did not answer well.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

impl Instance {
    /// Makes a slot for each of `members`, and drops slots of ours for any other server.
    ///
    /// # Errors
    /// When PostgreSQL refuses; what was done by then stays done.
    pub async fn reconcile_slots(&self, members: &[ServerName]) -> Result<SlotReport, SlotsError> {
        let _ = members;
        todo!()
    }
}
