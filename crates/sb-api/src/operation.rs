use serde::{Deserialize, Serialize};

use crate::Problem;

/// Something that takes a while: started by a request, journalled, watched by its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Identifier, unique in the cluster.
    pub id: String,
    /// `switchover`, `failover`, `pause` or `resume`.
    pub kind: String,
    /// How far it is.
    pub state: OperationState,
    /// Who asked.
    pub by: String,
    /// UTC, RFC 3339.
    pub started_at: String,
    /// What is done one after the other.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// How it ended, or, of a plan, what it would do; absent while it runs.
    pub result: Option<String>,
    /// Why it failed.
    pub problem: Option<Problem>,
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationState {
    /// A dry run: the gates are passed, nothing was changed, nothing will be.
    Planned,
    /// Under way.
    Running,
    /// Ended as asked.
    Done,
    /// Ended otherwise; [`Operation::problem`] says how.
    Failed,
    /// Withdrawn before it changed anything.
    Cancelled,
    /// This client is older than the agent.
    #[serde(other)]
    Unknown,
}

/// One step of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is done, such as "`ravena-1` stops PostgreSQL".
    pub name: String,
    /// How far it is.
    pub state: StepState,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// Not begun.
    Waiting,
    /// Under way.
    Running,
    /// Ended as planned.
    Done,
    /// Ended otherwise.
    Failed,
    /// This client is older than the agent.
    #[serde(other)]
    Unknown,
}

impl Operation {
    /// Whether nothing more will happen.
    #[must_use]
    pub const fn ended(&self) -> bool {
        matches!(
            self.state,
            OperationState::Planned
                | OperationState::Done
                | OperationState::Failed
                | OperationState::Cancelled
        )
    }
}
