use sb_pgtypes::Position;
use serde::{Deserialize, Serialize};

use crate::{FailsafePromise, Seq, Term};

/// What this server's data directory is in the middle of. Persisted before the action it announces (R9), read
/// again at the next start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing was ever made here.
    #[default]
    Empty,
    /// `initdb` may have begun; nothing in the directory is worth keeping until the record knows the cluster.
    Initializing,
    /// A sound copy that follows, or is ready to.
    Standby,
    /// Being cloned or rewound: unusable until that is done (R8).
    Repairing,
    /// Repaired, but not known to have everything that it may have confirmed in an earlier life: no candidate
    /// before its log contains this position.
    CatchingUp {
        /// The primary's position when the repair ended.
        until: Position,
    },
    /// A promotion may have begun in this term.
    Promoting {
        /// The term.
        term: Term,
    },
    /// The promotion of this term (or `initdb`, for the founder's) is complete.
    Primary {
        /// The term.
        term: Term,
    },
}

/// "I take nothing more from the primary of this lease": made durable before the position is reported (R4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Promise {
    /// The lease's term.
    pub term: Term,
    /// The lease's seq: a later renewal voids the promise.
    pub seq: Seq,
}

/// What a machine is told about its server's past.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persisted {
    /// The last phase persisted.
    pub phase: Phase,
    /// The last promise stored.
    pub promise: Option<Promise>,
    /// The last promise to the holder of a lease, stored before it was given.
    pub failsafe: Option<FailsafePromise>,
}
