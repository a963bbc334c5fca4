use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What is replicated: a deterministic state machine.
///
/// Requests and outcomes travel and are stored as JSON, so members of neighbouring versions can read each other's
/// entries as long as their types evolve the way JSON APIs do.
///
/// # To ensure correctness
///
/// * [`apply`](Self::apply) depends on the state and the request only: no clock, no randomness, no iteration over
///   unordered maps, no environment. Two members that applied the same requests must be equal.
/// * [`apply`](Self::apply) never panics; a request that makes no sense is answered by an outcome that says so.
/// * [`restore`](Self::restore) of another member's [`snapshot`](Self::snapshot) gives that member's state.
/// * A request that this version cannot decode stops the replica: skipping it would fork the state.
pub trait StateMachine: Send + 'static {
    /// What is proposed.
    type Request: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static;
    /// What a proposal is answered with.
    type Outcome: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static;
    /// What readers see; cheap to clone, for example an `Arc` of the state.
    type View: Clone + Send + Sync + 'static;

    /// Carries out one request.
    fn apply(&mut self, request: &Self::Request) -> Self::Outcome;

    /// The state for readers.
    fn view(&self) -> Self::View;

    /// The whole state as bytes, at most [`crate::limits::SNAPSHOT_BYTES_MAX`] together with the store's own part.
    fn snapshot(&self) -> Vec<u8>;

    /// Replaces the state by that of a snapshot.
    ///
    /// # Errors
    ///
    /// When the bytes are not a snapshot that this version can read. The replica stops then.
    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError>;
}

/// A snapshot that the state machine cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the snapshot of the state machine: {reason}")]
pub struct RestoreError {
    /// What is wrong with it.
    pub reason: String,
}

impl RestoreError {
    /// An error with this reason.
    #[must_use]
    pub fn new(reason: impl ToString) -> Self {
        Self { reason: reason.to_string() }
    }
}

/// A state together with its place in the one order of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied<V> {
    /// The index of the last entry that is part of the state; 0 before the first, and until a replica that was opened has
    /// carried out the log on its disk.
    pub index: u64,
    /// The state.
    pub view: V,
}
