use serde::{Deserialize, Serialize};

use crate::{Gate, Role, StoreRole};

/// Where a server's copy of the log ends, with the whole way there: of two logs on different lines, the one with the
/// larger LSN has not more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPosition {
    /// The timeline at its end.
    pub timeline: u32,
    /// The timelines that were left on the way, oldest first.
    #[serde(default)]
    pub forks: Vec<LogFork>,
    /// The end, as PostgreSQL writes it.
    pub lsn: String,
}

/// Where one timeline was left for the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFork {
    /// The timeline that was left.
    pub timeline: u32,
    /// Where, as PostgreSQL writes it.
    pub lsn: String,
}

/// What an agent's replica of the store says: part of [`crate::PeerStatus`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreWord {
    /// How often the store was recovered after the loss of its majority. A store with a larger number replaces one with
    /// a smaller.
    pub generation: u64,
    /// Who held the lease last.
    pub holder: Option<String>,
    /// In which term.
    pub term: u64,
    /// Where the holder's log ended when it last said so.
    pub holder_position: Option<LogPosition>,
}

/// What it would mean to go on with one server because the majority of the store is lost: the answer of
/// `GET /v1/recovery`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecoveryPlan {
    /// The server whose agent looked.
    pub observer: String,
    /// Gates that hold for every server that one could go on with.
    pub gates: Vec<Gate>,
    /// Every server of the topology.
    pub servers: Vec<RecoveryServer>,
    /// Servers that do not answer: what `--confirm-lost` has to name.
    pub silent: Vec<String>,
    /// Since how many seconds the observer has heard from no majority; absent when it never did.
    pub store_silent_seconds: Option<u64>,
    /// Who held the lease last, as far as anybody who answers knows.
    pub last_primary: Option<String>,
    /// In which term.
    pub term: Option<u64>,
    /// Where its log ended when it last said so, as `TIMELINE@LSN`.
    pub last_position: Option<String>,
    /// The server that passes its gates with the least at risk.
    pub best: Option<String>,
    /// What nobody who answers can know, in sentences.
    pub unknown: Vec<String>,
}

/// One server in a [`RecoveryPlan`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecoveryServer {
    /// Its name.
    pub name: String,
    /// Its site.
    pub site: String,
    /// Whether it answers now.
    pub answers: bool,
    /// Seconds since it last answered the observer; absent when it never did.
    pub silent_seconds: Option<u64>,
    /// Its part in the store that is lost.
    pub store_role: StoreRole,
    /// What its PostgreSQL is.
    pub role: Role,
    /// Where its log ends, as `TIMELINE@LSN`.
    pub position: Option<String>,
    /// Bytes of the last primary's log that it lacks, as far as that is known.
    pub at_risk_bytes: Option<u64>,
    /// What going on with it would need; empty when it does not answer.
    pub gates: Vec<Gate>,
}

/// Go on with one server although the majority of the store is lost for good: body of `POST /v1/recover`, for the agent
/// of that very server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoverRequest {
    /// The server to go on with: the one that is asked.
    pub to: String,
    /// The servers that will not come back: exactly those that do not answer.
    pub confirm_lost: Vec<String>,
    /// Confirmed commits may be lost up to this many bytes of the log that is known.
    pub accept_data_loss_bytes: u64,
    /// Pass the gates and show the plan; change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Refuse when another server held the lease last: guards against acting on an old picture.
    pub expect_primary: Option<String>,
}

/// Let a server back in that a recovery has given up: body of `POST /v1/rejoin`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejoinRequest {
    /// The server.
    pub server: String,
    /// Pass the gates and show the plan; change nothing.
    #[serde(default)]
    pub dry_run: bool,
}
