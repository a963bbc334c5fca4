use serde::{Deserialize, Serialize};

use crate::Gate;

/// Why something is as it is, and what a person can do: the answer of `GET /v1/explain`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Each server with its gates. Of the cluster: as an election would judge them if the primary were lost now, those
    /// that could take over first.
    #[serde(default)]
    pub candidates: Vec<Candidate>,
    /// How the last succession, or the one asked for, was judged when it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<Judgement>,
}

/// Query of `GET /v1/explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainQuery {
    /// Show how the succession that this term began with was judged, instead of the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
}

/// Whether one server could be primary, and why not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its name.
    pub server: String,
    /// Its place among those that may take over, from 1; absent when it may not, or when nobody ranked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<u64>,
    /// Why it has this place or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Every gate, passed or not. It is eligible when all are passed.
    pub gates: Vec<Gate>,
}

/// How one server judged who takes over, at the moment when it did: written down in its journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// The term that was to begin.
    pub term: u64,
    /// Who held the lease before.
    pub holder: String,
    /// The last renewal of that lease.
    pub renewal: u64,
    /// The server that judged.
    pub by: String,
    /// UTC, RFC 3339, by that server's wall clock.
    pub at: String,
    /// Who takes over; absent when nobody may.
    pub winner: Option<String>,
    /// Both in one sentence.
    pub verdict: String,
    /// Every server: those that may take over in their order, then the others.
    pub candidates: Vec<Candidate>,
}

impl Candidate {
    /// A candidate that nobody has ranked.
    #[must_use]
    pub fn unranked(server: impl Into<String>, gates: Vec<Gate>) -> Self {
        Self { server: server.into(), place: None, why: None, gates }
    }

    /// Whether every gate is passed.
    #[must_use]
    pub fn eligible(&self) -> bool {
        self.gates.iter().all(|gate| gate.ok)
    }
}
