//! One thing that a client asked, and what became of it.

use std::time::Duration;

use serde::Serialize;

use crate::place::Place;

/// The row of an insert; never used twice.
pub type RowId = i64;

/// A list of the append workload.
pub type Key = i64;

/// Isolation of a transaction on lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// Each statement sees what is committed when it begins.
    ReadCommitted,
    /// The whole transaction sees one moment; PostgreSQL's is snapshot isolation.
    RepeatableRead,
}

/// One step of a transaction on lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// A value is put at the end of a list. Values are never used twice.
    Append {
        /// Which list.
        key: Key,
        /// What.
        value: i64,
    },
    /// A whole list is read.
    Read {
        /// Which list.
        key: Key,
        /// What it held; nothing when the answer never came.
        seen: Option<Vec<i64>>,
    },
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// One row with a new id.
    Insert {
        /// Its id.
        id: RowId,
    },
    /// Reads two accounts, then moves money between them, and notes the transfer's id.
    Transfer {
        /// Its id.
        id: RowId,
        /// Who pays.
        from: i32,
        /// Who is paid.
        to: i32,
        /// How much.
        amount: i64,
    },
    /// Reads every account.
    Accounts {
        /// Their sum.
        sum: Option<i64>,
    },
    /// A transaction on lists.
    Lists {
        /// Its isolation.
        isolation: Isolation,
        /// Its steps, in order.
        steps: Vec<Step>,
    },
    /// Raises the register by one.
    Increment {
        /// What it became.
        became: Option<i64>,
    },
    /// Reads the register.
    Register {
        /// What it was.
        seen: Option<i64>,
    },
}

impl Action {
    /// Whether it changes anything.
    #[must_use]
    pub fn writes(&self) -> bool {
        match self {
            Self::Insert { .. } | Self::Transfer { .. } | Self::Increment { .. } => true,
            Self::Accounts { .. } | Self::Register { .. } => false,
            Self::Lists { steps, .. } => steps.iter().any(|step| matches!(step, Step::Append { .. })),
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The database said that it is committed.
    Ok,
    /// The database said that it is not, or it was never asked to commit.
    Fail(String),
    /// Nobody knows: the answer was lost, or came with a warning that the standbys were not waited for.
    Info(String),
}

/// An operation from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Operation {
    /// Who asked. A process whose operation is unknown never asks again: its client goes on as another process.
    pub process: u32,
    /// What was asked, with what was answered.
    pub action: Action,
    /// What became of it.
    pub outcome: Outcome,
    /// When it was sent, since the run began.
    pub invoked: Duration,
    /// When its end was known.
    pub ended: Duration,
    /// Where the client sits.
    pub seat: Place,
    /// Which server was asked: the session's own `inet_server_addr()`.
    pub server: Place,
    /// The primaryship that the server then held by its own journal; known after the run.
    pub term: Option<u64>,
}

impl Operation {
    /// Whether it is known to be committed.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }

    /// Whether it is known not to be.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Fail(_))
    }

    /// When a write of it was acknowledged, if it was.
    #[must_use]
    pub fn acknowledged(&self) -> Option<Duration> {
        (self.is_ok() && self.action.writes()).then_some(self.ended)
    }
}
