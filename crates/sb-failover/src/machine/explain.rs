use serde::{Deserialize, Serialize};

use super::State;

/// One condition that the machine waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// What is looked at, such as `lag`.
    pub name: String,
    /// What it is now.
    pub observed: String,
    /// What it must be.
    pub limit: String,
    /// Whether it is.
    pub ok: bool,
}

/// Why a machine is where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Where it is.
    pub state: State,
    /// What it waits for.
    pub gates: Vec<Gate>,
    /// What happens next by itself, or the command that a person has to give.
    pub next: String,
}
