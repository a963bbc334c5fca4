use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a machine is. What it may do there is in [`crate::TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum State {
    /// Not yet told what the guard, the record and PostgreSQL say.
    Starting,
    /// No data, and nobody to take it from.
    Waiting,
    /// The founder makes the database.
    Initializing,
    /// The data is cloned or rewound; never a candidate (R8).
    Repairing,
    /// A sound standby.
    Following,
    /// Promising, then stopping the receiver (R4).
    Freezing,
    /// Promised; its position does not move.
    Frozen,
    /// Frozen, and taking from another frozen server what it lacks (R5).
    Fetching,
    /// Has proposed to take over.
    Claiming,
    /// Holds the lease of a new term; not promoted yet.
    Elected,
    /// PostgreSQL is being promoted.
    Promoting,
    /// Promoted; clients wait until that is on record and enough standbys have everything.
    Recording,
    /// Writable, clients are in.
    Leading,
    /// Holds the lease, PostgreSQL is down: starting it again.
    Restarting,
    /// PostgreSQL is up again under the same lease; clients wait until enough standbys have everything.
    Reopening,
    /// Shutting down cleanly to hand over.
    Draining,
    /// Killing, until it is proven that no backend is left.
    Fencing,
    /// Giving the lease back.
    Releasing,
    /// A person must act.
    Parked,
    /// It has no PostgreSQL: it votes in the store and helps to end pauses, nothing else.
    Witnessing,
}

impl State {
    /// All states.
    pub const ALL: [State; 20] = [
        State::Starting,
        State::Waiting,
        State::Initializing,
        State::Repairing,
        State::Following,
        State::Freezing,
        State::Frozen,
        State::Fetching,
        State::Claiming,
        State::Elected,
        State::Promoting,
        State::Recording,
        State::Leading,
        State::Restarting,
        State::Reopening,
        State::Draining,
        State::Fencing,
        State::Releasing,
        State::Parked,
        State::Witnessing,
    ];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Why only a person can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParkReason {
    /// The data directory is another cluster's.
    ForeignData,
    /// The founder finds data, but the record was initialized elsewhere.
    NotTheFounder,
}
