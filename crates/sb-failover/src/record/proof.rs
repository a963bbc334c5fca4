use serde::{Deserialize, Serialize};

/// Why a takeover may happen. The record checks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proof {
    /// The lease was given back and the proposer has everything up to the end of the old primary's log (R11).
    EndOfWal,
    /// Synchronous modes: enough voters promised, and the proposer has everything they have (R6).
    Quorum,
    /// Asynchronous: the proposer has everything that was reported and at most the bound is missing.
    LagBound,
    /// A person's `Failover` names the proposer and accepts the loss.
    AcceptedLoss,
}
