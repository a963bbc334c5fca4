use serde::{Deserialize, Serialize};

use crate::ProxyListener;

/// One server as an agent sees it: itself, or a peer by the peer's last word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Name, unique in the cluster.
    pub name: String,
    /// Key of its site.
    pub site: String,
    /// What the server is to its clients.
    pub role: Role,
    /// State of its failover machine, in the machine's own words.
    pub state: String,
    /// Version of its agent.
    pub agent_version: Option<String>,
    /// Which life of this server this is: a server that lost its log starts a new one. In JSON 16 hexadecimal
    /// digits, because a JavaScript number cannot hold it.
    #[serde(default, with = "crate::hexadecimal")]
    pub incarnation: Option<u64>,
    /// Whether the observer hears it now; absent when it has not tried.
    pub reachable: Option<bool>,
    /// Whether it may become primary at all (a witness and a server in maintenance may not).
    pub promotable: Option<bool>,
    /// PostgreSQL's timeline.
    pub timeline: Option<u32>,
    /// End of the WAL that is safely on its disk, as `X/Y`.
    pub flushed_lsn: Option<String>,
    /// End of the WAL that queries on it can see, as `X/Y`; on a primary the same as `flushed_lsn`.
    pub replayed_lsn: Option<String>,
    /// Bytes of WAL that it lacks, against the primary's last known position; unknown when either is.
    pub lag_bytes: Option<u64>,
    /// Age of the last transaction replayed, in seconds; unknown while nothing is written.
    pub lag_seconds: Option<f64>,
    /// The server it streams from.
    pub upstream: Option<String>,
    /// Its part in synchronous replication.
    pub sync: Option<SyncState>,
    /// Its lease, when it holds it.
    pub lease: Option<LeaseStatus>,
    /// The process that ends PostgreSQL when the lease ends.
    pub guard: Option<GuardStatus>,
    /// The second fence, in the kernel.
    pub kernel_fence: KernelFence,
    /// Its part in the replicated store.
    pub store_role: StoreRole,
    /// Round trip from the observer, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// What is wrong with it, one sentence each; empty when nothing is.
    #[serde(default)]
    pub problems: Vec<String>,
    /// Its part while a primary goes on without the store; absent when it has none.
    #[serde(default)]
    pub failsafe: Option<FailsafePart>,
    /// The addresses of its proxy; none when it has none, or is older than this client.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxy: Vec<ProxyListener>,
}

/// A server's part while a primary goes on without the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailsafePart {
    /// It is that primary: every server that could take over has promised not to.
    Holds,
    /// It has promised not to take over for now.
    Promised,
    /// This client is older than the agent.
    #[serde(other)]
    Unknown,
}

/// What a server is to its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Holds the lease and accepts writes.
    Primary,
    /// Replays the primary's WAL.
    Standby,
    /// Votes in the store; has no PostgreSQL.
    Witness,
    /// Is being promoted: holds the lease, accepts no writes yet.
    Promoting,
    /// Is copying the whole database: no candidate.
    Cloning,
    /// Is being brought back to the primary's history: no candidate.
    Rewinding,
    /// Was primary; PostgreSQL is down until it may follow.
    Fenced,
    /// PostgreSQL does not run.
    Stopped,
    /// Nobody knows, or this client is older than the agent.
    #[serde(other)]
    Unknown,
}

/// A server's part in synchronous replication, as the primary's `pg_stat_replication.sync_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncState {
    /// No commit waits for it.
    Async,
    /// Every commit waits for it.
    Sync,
    /// Commits wait for any n of a set, and it is in the set.
    Quorum,
    /// Would be waited for if another failed.
    Potential,
    /// Not told, or this client is older than the agent.
    #[serde(other)]
    Unknown,
}

/// The right to be writable, as its holder counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseStatus {
    /// Number of the primaryship.
    pub term: u64,
    /// Milliseconds left by the holder's own clock at the moment of the answer.
    pub remaining_ms: u64,
}

/// The guard: PostgreSQL's parent, which ends it when the lease ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardStatus {
    /// What it is doing.
    pub state: GuardState,
    /// Milliseconds until it would end PostgreSQL; absent when no deadline is set.
    pub fence_in_ms: Option<u64>,
    /// Process id of the postmaster that it is parent of.
    pub postmaster: Option<u32>,
}

/// What a guard is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuardState {
    /// Runs, with no deadline: this server is not primary.
    Idle,
    /// Holds a deadline.
    Armed,
    /// Is ending PostgreSQL, or has ended it.
    Fenced,
    /// Does not answer the agent.
    Missing,
    /// Not told, or this client is older than the agent.
    #[serde(other)]
    Unknown,
}

/// The fence in the kernel: PostgreSQL's packets to clients pass only while it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KernelFence {
    /// Packets pass, until the lease ends.
    Open,
    /// Packets are dropped.
    Closed,
    /// Not installed here.
    Absent,
    /// Not told, or this client is older than the agent.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A server's part in the replicated store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreRole {
    /// Orders the log.
    Leader,
    /// Its answer counts.
    Voter,
    /// Copies without a vote.
    Learner,
    /// Not told, not a member, or this client is older than the agent.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Role {
    /// The word of the wire form, such as `primary`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Standby => "standby",
            Self::Witness => "witness",
            Self::Promoting => "promoting",
            Self::Cloning => "cloning",
            Self::Rewinding => "rewinding",
            Self::Fenced => "fenced",
            Self::Stopped => "stopped",
            Self::Unknown => "unknown",
        }
    }
}

impl ServerStatus {
    /// A server of which nothing is known but its place in the topology.
    #[must_use]
    pub fn unknown(name: impl Into<String>, site: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            site: site.into(),
            role: Role::Unknown,
            state: "unknown".into(),
            agent_version: None,
            incarnation: None,
            reachable: None,
            promotable: None,
            timeline: None,
            flushed_lsn: None,
            replayed_lsn: None,
            lag_bytes: None,
            lag_seconds: None,
            upstream: None,
            sync: None,
            lease: None,
            guard: None,
            kernel_fence: KernelFence::Unknown,
            store_role: StoreRole::Unknown,
            rtt_ms: None,
            problems: Vec::new(),
            failsafe: None,
            proxy: Vec::new(),
        }
    }
}
