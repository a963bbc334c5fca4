use sb_pgtypes::Position;
use serde::{Deserialize, Serialize};

/// A primary that the store does not answer asks a server to promise that it will not take over: body of
/// `POST /peer/v1/failsafe`. Who asks is told by its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailsafeRequest {
    /// Which life of the asking server this is.
    pub incarnation: u64,
    /// The term of its lease.
    pub term: u64,
    /// The newest renewal of it that it has seen applied.
    pub seq: u64,
    /// Up to which admission it knows the members.
    pub admissions: u64,
    /// For how long it wants to count, in milliseconds.
    pub ttl_ms: u64,
    /// Where its log ends, if it knows.
    pub position: Option<Position>,
}

/// The answer to a [`FailsafeRequest`]. Only `yes` is a promise; everything else, silence too, is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "lowercase")]
pub enum FailsafeReply {
    /// The server neither proposes nor supports a takeover for the time asked for, counted from its answer.
    Yes,
    /// It promises nothing.
    No {
        /// Why.
        reason: FailsafeReason,
    },
}

/// Why a server promises nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum FailsafeReason {
    /// It does not know the cluster's record well enough.
    Unknowing,
    /// The lease is another server's, or was given back.
    NotHolder {
        /// The newest term it knows.
        term: u64,
    },
    /// It knows members that the asking server does not.
    NewerMembers,
    /// It has promised to an election.
    Promised {
        /// Against the lease of this term.
        term: u64,
        /// And this renewal.
        seq: u64,
    },
    /// The lease asked for is too long.
    TooLong {
        /// What was asked for, in milliseconds.
        ttl_ms: u64,
    },
    /// It could not store its promise.
    NotStored,
    /// It is busy with earlier questions.
    Busy,
}
