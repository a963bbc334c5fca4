use serde::{Deserialize, Serialize};

use crate::Gate;

/// Why something is as it is, and what a person can do: the answer of `GET /v1/explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// What is explained: `cluster`, a server, an operation or a code.
    pub subject: String,
    /// The fact in one sentence.
    pub message: String,
    /// Positions, numbers, the rule applied, one line each.
    #[serde(default)]
    pub details: Vec<String>,
    /// What happens next by itself; absent when nothing does.
    pub next: Option<String>,
    /// Commands that can be pasted.
    #[serde(default)]
    pub hints: Vec<String>,
    /// Each server that could be primary, best first.
    #[serde(default)]
    pub candidates: Vec<Candidate>,
}

/// Whether one server could be primary now, and why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its name.
    pub server: String,
    /// Every gate, passed or not. It is eligible when all are passed.
    pub gates: Vec<Gate>,
}

impl Candidate {
    /// Whether every gate is passed.
    #[must_use]
    pub fn eligible(&self) -> bool {
        self.gates.iter().all(|gate| gate.ok)
    }
}
