use serde::{Deserialize, Serialize};

use crate::{HistoryEntry, LogPosition, MeshPreshared, MeshStatus, ServerStatus, StoreRole, StoreWord};

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
    /// Its WireGuard interface; absent when it has none.
    #[serde(default)]
    pub mesh: Option<MeshStatus>,
}

/// What an agent tells its peers about the network between them: the answer of `GET /peer/v1/mesh`. It says what that
/// server knows without anybody else's help, so it also reaches those who are cut off from the store's leader.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshWord {
    /// How it finds its direct session with each other server that it knows something of.
    pub sights: Vec<MeshSight>,
    /// How far it has followed the replacement of a server's key; absent while none goes on.
    #[serde(default)]
    pub rotation: Option<MeshProgress>,
    /// The newest agreement that it knows.
    pub agreed: MeshAgreement,
    /// What it heard of the others, for whoever does not hear them itself.
    #[serde(default)]
    pub reports: Vec<MeshReport>,
    /// Where the preshared keys that it makes stand, by the other server of each pair.
    #[serde(default)]
    pub preshared: Vec<MeshPreshared>,
    /// What comes through the servers that carry its packets.
    #[serde(default)]
    pub relays: Vec<MeshRelay>,
    /// Whether it knows that it cannot pass others' packets on.
    #[serde(default)]
    pub cannot_carry: bool,
}

/// What a server said of itself, told by another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshReport {
    /// Name of the server that said it.
    pub server: String,
    /// How long before it is told here it was heard, in milliseconds.
    pub age_ms: u64,
    /// How it finds its direct sessions.
    pub sights: Vec<MeshSight>,
    /// How far it has followed the replacement of a server's key.
    #[serde(default)]
    pub rotation: Option<MeshProgress>,
    /// What comes through the servers that carry its packets.
    #[serde(default)]
    pub relays: Vec<MeshRelay>,
    /// Whether it knows that it cannot pass others' packets on.
    #[serde(default)]
    pub cannot_carry: bool,
}

/// How a server finds the way to another one through a third.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshRelay {
    /// Name of the other.
    pub peer: String,
    /// Name of the third, which carries the packets.
    pub via: String,
    /// For how long nothing has been answered that went this way, in milliseconds.
    pub silent_ms: u64,
}

/// How a server finds its direct session with another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshSight {
    /// Name of the other.
    pub peer: String,
    /// Whether packets come through, in full size and both ways.
    pub up: bool,
    /// For how long it has been so, in milliseconds.
    pub for_ms: u64,
}

/// How far a server has followed the replacement of another's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MeshProgress {
    /// The new key is no peer yet.
    Unaware,
    /// The new key is a peer without addresses.
    Prepared,
    /// The server's addresses are behind the new key.
    Moved,
}

/// An agreement of the cluster about its mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshAgreement {
    /// Which of the cluster's stores it is of.
    pub branch: u64,
    /// Rises by one with every change in one store; 0 = none yet.
    pub generation: u64,
    /// The document, as text.
    pub document: String,
}
