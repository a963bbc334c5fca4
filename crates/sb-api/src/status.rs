use serde::{Deserialize, Serialize};

use crate::{HistoryEntry, ServerStatus};

/// The cluster as one agent sees it at one moment: the answer of `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// [`crate::SCHEMA_VERSION`] of the agent that answered.
    pub schema_version: u32,
    /// The server whose agent answered; everything below is its view.
    pub observer: String,
    /// When the view was taken, UTC, RFC 3339.
    pub at: String,
    /// What holds for the cluster as a whole.
    pub cluster: ClusterStatus,
    /// The sites in the order of the topology.
    pub sites: Vec<SiteStatus>,
    /// Every server of the topology, also those that nobody has heard from.
    pub servers: Vec<ServerStatus>,
}

/// What holds for the cluster as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Random identifier given by `sb-cli init`.
    pub id: String,
    /// The name that a person types to confirm a dangerous command.
    pub name: String,
    /// The promise made to clients about confirmed commits.
    pub durability: Durability,
    /// The number of the present primaryship; absent before the first.
    pub term: Option<u64>,
    /// Holder of the lease, by name; absent while nobody holds it.
    pub primary: Option<String>,
    /// One word and one sentence for a person in a hurry.
    pub verdict: Verdict,
    /// Automatic failover is held back by a person.
    pub paused: Option<PauseStatus>,
    /// Why the durability promised is not given at present (`sync` fell back to `async`); absent when it is.
    pub degraded: Option<String>,
    /// The replicated store that keeps the lease.
    pub store: StoreStatus,
    /// Generation of the topology in force.
    pub topology_generation: Option<u64>,
    /// The last change of primary.
    pub last_handover: Option<HistoryEntry>,
    /// Why no server ever takes over by itself in this topology; absent when one may.
    #[serde(default)]
    pub manual_failover: Option<String>,
}

/// What a confirmed commit is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// On the primary only; a failover may lose what had not been sent.
    Async,
    /// On at least one other server; falls back to `async`, visibly, when too few answer.
    Sync,
    /// On at least one other server, always: commits wait.
    Strict,
}

/// The state of the cluster in one word and one sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The word.
    pub level: Level,
    /// The sentence, such as "`ravena-1` is primary (term 7); 4 of 5 standbys stream."
    pub sentence: String,
}

/// How bad it is. Ordered: later is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Everything is as promised.
    Ok,
    /// Writes work; the next fault may not be survived as promised.
    Degraded,
    /// Writes do not work, or may stop working by themselves soon.
    Critical,
}

/// A pause of automatic failover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseStatus {
    /// Who asked.
    pub by: String,
    /// Why, in their words.
    pub reason: Option<String>,
    /// Seconds until it ends by itself.
    pub remaining_seconds: Option<u64>,
}

/// The replicated store as the observer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// Which server leads the store; absent when the observer knows none.
    pub leader: Option<String>,
    /// Servers whose answers count; empty where the store is an etcd, whose own members vote.
    pub voters: Vec<String>,
    /// Servers that copy without a vote; empty where the store is an etcd.
    pub learners: Vec<String>,
    /// Whether the observer can reach a majority; absent when it cannot tell.
    pub majority: Option<bool>,
    /// What the record is kept in.
    #[serde(default)]
    pub kind: StoreKind,
    /// The members of an external store as the observer reaches them; empty where there is none.
    #[serde(default)]
    pub endpoints: Vec<StoreEndpoint>,
}

/// What the replicated record is kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// The agents themselves.
    #[default]
    Raft,
    /// An etcd.
    Etcd,
    /// This client is older than the agent.
    #[serde(other)]
    Unknown,
}

/// One member of an external store, as the observer reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreEndpoint {
    /// Its address.
    pub url: String,
    /// Whether it answered the last time it was asked.
    pub answers: bool,
    /// Its version, when it answers.
    pub version: Option<String>,
    /// Whether it leads the external store, when it answers.
    pub leads: Option<bool>,
    /// Size of its database, when it answers.
    pub database_bytes: Option<u64>,
    /// What is wrong with it.
    pub trouble: Option<String>,
}

/// One site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteStatus {
    /// Key of the site, such as `burlington`.
    pub name: String,
    /// Name for people, such as "Burlington, VT".
    pub title: Option<String>,
    /// Names of its servers.
    pub servers: Vec<String>,
}
