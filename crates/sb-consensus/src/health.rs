use std::collections::BTreeMap;

use crate::{MemberId, Membership};

/// What this member is in Raft at the moment. Without meaning for anybody outside the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// No leader has reached this server yet: it has no vote and no state.
    Outsider,
    /// Receives the log, has no vote.
    Learner,
    /// Has a vote, follows a leader or waits for one.
    Follower,
    /// Stands for election.
    Candidate,
    /// Orders the requests.
    Leader,
    /// Was a member and left.
    Removed,
    /// The store has ended: shut down, or failed (see [`StoreHealth::failure`]).
    Stopped,
}

/// The leader that this member follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderInfo {
    /// Its id.
    pub id: MemberId,
    /// Its name, when the membership is known here.
    pub name: Option<String>,
}

/// How far one member has got, as the leader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberProgress {
    /// Index of the last entry that it holds durably.
    pub matched_index: u64,
    /// Whether it holds all but the newest few entries: a learner may be promoted then.
    pub caught_up: bool,
    /// Time since it was last heard from; `None` when never.
    pub contact_age_ms: Option<u64>,
}

/// Whether entries can be made durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskHealth {
    /// Yes.
    Ok,
    /// The disk is full: nothing is acknowledged until there is room. Nothing is lost.
    Full,
    /// It failed, and this member has stopped.
    Failed {
        /// What went wrong.
        reason: String,
    },
}

/// How an etcd that keeps the record looks from here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EtcdHealth {
    /// Its members, in the order of the configuration.
    pub endpoints: Vec<EtcdEndpointHealth>,
    /// Bytes of the record's value.
    pub record_bytes: usize,
    /// The key that holds the record.
    pub key: String,
}

/// One member of etcd, as the calls to it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdEndpointHealth {
    /// Its address.
    pub url: String,
    /// Time since it last answered; `None` when never.
    pub answered_age_ms: Option<u64>,
    /// What went wrong with the last call, or its own alarm.
    pub trouble: Option<String>,
    /// Its version, when it answered the last time it was asked.
    pub version: Option<String>,
    /// Whether it leads etcd, when it answered the last time it was asked.
    pub leads: Option<bool>,
    /// Size of its database, when it answered the last time it was asked.
    pub database_bytes: Option<u64>,
}

/// A member's view of the group, published when it changes and about once a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreHealth {
    /// What this member is.
    pub role: Role,
    /// Whom it follows (itself when it leads).
    pub leader: Option<LeaderInfo>,
    /// Raft's term; nothing to do with the term of a primary.
    pub raft_term: u64,
    /// Index up to which entries are known to be committed.
    pub commit_index: u64,
    /// Index up to which the own state machine is.
    pub applied_index: u64,
    /// Time since a majority of voters was heard from (leader), or the leader (others); `None` when never.
    pub quorum_contact_age_ms: Option<u64>,
    /// Who belongs to the group, as far as applied here.
    pub membership: Membership,
    /// Progress of the other members; empty unless this member leads.
    pub progress: BTreeMap<MemberId, MemberProgress>,
    /// Whether entries can be made durable.
    pub disk: DiskHealth,
    /// The etcd behind the store, where there is one.
    pub etcd: Option<EtcdHealth>,
    /// Why the store stopped, when it did not by request ([`crate::Store::failed`] waits for it). When acknowledged entries turned out to be missing, the
    /// directory is refused from then on ([`crate::OpenError::Corrupt`]): the server joins anew with an empty one.
    pub failure: Option<String>,
}

impl StoreHealth {
    /// Whether this member orders the requests.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.role == Role::Leader
    }
}
