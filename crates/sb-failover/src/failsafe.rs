//! What a holder asks the others when the store does not answer, and what they say (R10).

use std::time::Duration;

use sb_pgtypes::Position;
use sb_topology::ServerName;
use serde::{Deserialize, Serialize};

use crate::{Incarnation, Seq, Term};

/// "Promise not to take over while I go on without the store."
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailsafeQuestion {
    /// Who asks.
    pub holder: ServerName,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The lease it has: its term.
    pub term: Term,
    /// And the newest renewal it has seen applied.
    pub seq: Seq,
    /// Up to which admission it knows the members ([`crate::ClusterRecord::admissions`]).
    pub admissions: u64,
    /// For how long it wants to count, in milliseconds.
    pub ttl_ms: u64,
    /// Where its log ends, if it knows.
    pub position: Option<Position>,
}

/// What a member says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailsafeAnswer {
    /// It will neither propose nor support a takeover for the time asked for, by its own clock, from now on.
    Yes,
    /// It promises nothing.
    No(FailsafeRefusal),
}

/// Why a member promises nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum FailsafeRefusal {
    /// It does not know the cluster well enough to promise anything: no record, or itself not in it.
    #[error("it has not seen the cluster's record since it started")]
    Unknowing,
    /// Somebody else holds the lease, or it was given back.
    #[error("the lease is another's: term {term}")]
    NotHolder {
        /// The newest term it knows.
        term: Term,
    },
    /// There are members that the holder has not heard of, and so has not asked.
    #[error("it knows members that the holder does not")]
    NewerMembers,
    /// It has promised to the candidates already.
    #[error("it is frozen for an election since renewal {seq} of term {term}")]
    Promised {
        /// The promise's term.
        term: Term,
        /// The promise's seq.
        seq: Seq,
    },
    /// The lease asked for is longer than any may be.
    #[error("a lease of {ttl_ms} ms is too long")]
    TooLong {
        /// What was asked for.
        ttl_ms: u64,
    },
    /// The promise could not be made durable.
    #[error("it could not store its promise")]
    NotStored,
    /// Too many questions wait.
    #[error("it is still busy with earlier questions")]
    Busy,
}

/// A yes as it is stored before it is given. It says how long, never until when: a reading of a clock means
/// nothing after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailsafePromise {
    /// Against whose successors.
    pub term: Term,
    /// How long from the answer; after a restart, from the restart.
    pub wait: Duration,
    /// The newest position of the holder that it told.
    pub position: Option<Position>,
}
