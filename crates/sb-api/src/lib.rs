//! What an agent says over HTTP, as types: the `/v1` calls of people and scripts, the `/peer/v1` calls between
//! agents, and the problem document that every refusal is.
//!
//! Types only: nothing here opens a socket, decides, or renders. They are wire types, never an agent's own
//! types, so both can change alone. Answers tolerate unknown fields, so that an older client reads a newer
//! agent; requests refuse them, so that a misspelt safety option never passes for absent. "Unknown" is `None`
//! or a variant of that name, never a default that looks like a measurement.

mod code;
mod event;
mod explanation;
mod failsafe;
mod hexadecimal;
mod history;
mod mesh;
mod operation;
mod peer;
mod preshared;
mod problem;
mod recovery;
mod request;
mod server;
mod serving;
mod status;

pub use code::{Code, CodeKind, codes, explain_code};
pub use event::{EVENTS_PER_ANSWER_MAX, EVENTS_WAIT_SECONDS_MAX, Event, EventsQuery, HISTORY_ENTRIES_MAX};
pub use explanation::{Candidate, ExplainQuery, Explanation, Judgement};
pub use failsafe::{FailsafeReason, FailsafeReply, FailsafeRequest};
pub use history::HistoryEntry;
pub use mesh::{Mesh, MeshPeer, MeshPeerState, MeshServer, MeshStatus};
pub use operation::{Operation, OperationState, Step, StepState};
pub use peer::{
    JoinAnswer, JoinRequest, MeshAgreement, MeshProgress, MeshRelay, MeshReport, MeshSight, MeshWord,
    PeerStatus, StoreMember,
};
pub use preshared::{
    MeshPreshared, PresharedAnswer, PresharedBegin, PresharedOffer, PresharedStep, PresharedWord, SecretText,
};
pub use problem::{Gate, PROBLEM_MEDIA_TYPE, Problem, Refused};
pub use recovery::{
    LogFork, LogPosition, RecoverRequest, RecoveryPlan, RecoveryServer, RejoinRequest, StoreWord,
};
pub use request::{
    AcceptKeyRequest, DurabilityRequest, FailoverRequest, PauseRequest, ResumeRequest, RotateKeyRequest,
    RotatePresharedRequest, SwitchoverRequest,
};
pub use server::{
    FailsafePart, GuardState, GuardStatus, KernelFence, LeaseStatus, Role, ServerStatus, StoreRole, SyncState,
};
pub use serving::{ProxyAccess, ProxyListener, SERVING_WAIT_MS_MAX, Serving, ServingQuery, ServingWord};
pub use status::{
    ClusterStatus, Durability, Level, PauseStatus, SiteStatus, Status, StoreEndpoint, StoreKind, StoreStatus,
    Verdict,
};

/// Version of the JSON that [`Status`] and the other answers carry. It rises when a field changes its meaning or
/// goes away; added fields do not raise it.
pub const SCHEMA_VERSION: u32 = 1;
