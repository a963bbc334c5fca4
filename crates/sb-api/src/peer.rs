use serde::{Deserialize, Serialize};

use crate::{HistoryEntry, LogPosition, ServerStatus, StoreRole, StoreWord};

/// A server asks to become a member of the store: body of `POST /peer/v1/join`. Who asks is told by its
/// certificate, not by this document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The cluster that it was given a bundle for.
    pub cluster_id: String,
    /// Which life of this server this is.
    pub incarnation: u64,
    /// Where it accepts peers, as `ADDRESS:PORT`.
    pub address: String,
    /// The newest generation of the store that it has heard of: an older store must not take it in.
    #[serde(default, skip_serializing_if = "is_first")]
    pub generation: u64,
}

/// An older agent does not know the field, and has no other store to take anybody into.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_first(generation: &u64) -> bool {
    *generation == 0
}

/// The answer to a [`JoinRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "lowercase")]
pub enum JoinAnswer {
    /// The server is a member now; the log comes by itself.
    Member {
        /// Every member of the store, the asking server among them.
        members: Vec<StoreMember>,
    },
    /// Another server leads the store: ask there.
    Elsewhere {
        /// Name of the leader.
        leader: String,
        /// Where it accepts peers, as `ADDRESS:PORT`.
        address: Option<String>,
    },
}

/// One member of the replicated store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreMember {
    /// Name of the server.
    pub name: String,
    /// Which life of it.
    pub incarnation: u64,
    /// Where it accepts peers, as `ADDRESS:PORT`.
    pub address: String,
    /// Its part.
    pub role: StoreRole,
}

/// What an agent tells its peers about itself: the answer of `GET /peer/v1/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// The cluster it belongs to.
    pub cluster_id: String,
    /// The server itself.
    pub server: ServerStatus,
    /// Index of the last entry of the store that it applied.
    pub applied_index: Option<u64>,
    /// Who leads the store, as far as it knows.
    pub store_leader: Option<String>,
    /// The primaryship that its replica of the store shows.
    pub term: Option<HistoryEntry>,
    /// Where its copy of the database's log ends; absent when it does not know.
    #[serde(default)]
    pub position: Option<LogPosition>,
    /// What its replica of the store says; absent when it has none.
    #[serde(default)]
    pub store: Option<StoreWord>,
}
