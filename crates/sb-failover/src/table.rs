//! Every change of state there is, as data. [`crate::Machine`] changes its state through it and no other way.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::State;

/// Why a machine changes its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Trigger {
    /// There is no data here.
    NoData,
    /// The record has no database yet, and this server founds it.
    MayFound,
    /// There is data, and it is not known to be unsound.
    DataFound,
    /// The last phase persisted is an unfinished repair.
    RepairUnfinished,
    /// The data is another cluster's, or another server founded this one.
    WrongData,
    /// PostgreSQL was found running under the lease that the guard and the record both name.
    Adopted,
    /// PostgreSQL was found writable without that right.
    FoundUnlawful,
    /// The record names this server as holder, and its data is that of a primary.
    LeaseMine,
    /// The record names this server as holder, but its data was not promoted in this term.
    LeaseMineUnpromoted,
    /// The record names this server as holder, but it has no data.
    LeaseMineNoData,
    /// A primary can be copied from.
    SourceKnown,
    /// The own log has left the cluster's line, or the log needed next is gone.
    CopyUnsound,
    /// The copy is made.
    Repaired,
    /// The primary's renewals have stopped, or it gave its lease back.
    Suspected,
    /// Promised, and the position does not move any more.
    Stopped,
    /// The lease was renewed or taken: promise and report are void.
    Voided,
    /// Another frozen server has log that this preferred candidate lacks.
    LacksLog,
    /// The missing log is here.
    Fetched,
    /// The fetch did not succeed.
    FetchFailed,
    /// It is this server's turn to take over.
    Turn,
    /// The store did not take the takeover.
    Refused,
    /// Enough of the lease is left, the guard is armed, the synchronous set is in place.
    MayPromote,
    /// PostgreSQL is primary.
    Promoted,
    /// The promotion failed, or did not begin or end in time, or this term had one already.
    PromotionFailed,
    /// Another promotion of this term is on record than the one that serves.
    PromotedOtherwise,
    /// Lineage and synchronous set are on record, enough standbys have everything, clients are in.
    Opened,
    /// PostgreSQL ended without having been asked to.
    PostgresGone,
    /// PostgreSQL runs again.
    Restarted,
    /// It did not within the budget, or its data has been a standby's since.
    RestartFailed,
    /// The own deadline has passed.
    DeadlinePassed,
    /// The record shows another holder, or that the lease was given back.
    Deposed,
    /// A hand-over was asked for and every gate is open.
    TransferDue,
    /// The clean shutdown succeeded.
    Drained,
    /// The clean shutdown failed, and PostgreSQL goes on as before.
    StillRuns,
    /// The clean shutdown failed half-way, or nobody knows how far it got.
    DrainFailed,
    /// No backend is left; the lease is still this server's.
    ProvenStillMine,
    /// No backend is left; the lease shall be given back.
    ProvenGiveBack,
    /// No backend is left; the lease is gone.
    ProvenNotMine,
    /// The lease is no longer this server's.
    GivenBack,
    /// This server has no PostgreSQL.
    NoPostgres,
}

/// One allowed change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// From.
    pub from: State,
    /// Why.
    pub trigger: Trigger,
    /// To.
    pub to: State,
    /// The rule that asks for it.
    pub rule: &'static str,
}

const fn row(from: State, trigger: Trigger, to: State, rule: &'static str) -> Row {
    Row { from, trigger, to, rule }
}

/// Every change of state there is.
pub const TABLE: &[Row] = {
    use State::*;
    use Trigger::*;
    &[
        // A start: nothing is writable until the record, the guard and the data agree (R7, R9).
        row(Starting, NoData, Waiting, "R8"),
        row(Starting, MayFound, Initializing, "R7"),
        row(Starting, DataFound, Following, "R7"),
        row(Starting, RepairUnfinished, Repairing, "R8"),
        row(Starting, WrongData, Parked, "R8"),
        row(Starting, Adopted, Reopening, "R9"),
        row(Starting, LeaseMine, Restarting, "R7"),
        row(Starting, LeaseMineUnpromoted, Elected, "R9"),
        row(Starting, FoundUnlawful, Fencing, "R1"),
        row(Starting, NoPostgres, Witnessing, "R7"),
        row(Waiting, MayFound, Initializing, "R7"),
        row(Waiting, SourceKnown, Repairing, "R8"),
        row(Waiting, LeaseMineNoData, Fencing, "R8"),
        row(Initializing, LeaseMine, Restarting, "R7"),
        row(Initializing, WrongData, Parked, "R8"),
        // A standby.
        row(Repairing, Repaired, Following, "R8"),
        row(Repairing, LeaseMineNoData, Fencing, "R8"),
        row(Following, CopyUnsound, Repairing, "R8"),
        row(Following, WrongData, Parked, "R8"),
        row(Following, FoundUnlawful, Fencing, "R1"),
        row(Following, MayFound, Initializing, "R7"),
        row(Following, LeaseMine, Restarting, "R7"),
        row(Following, LeaseMineUnpromoted, Elected, "R9"),
        row(Following, Suspected, Freezing, "R4"),
        // An election.
        row(Freezing, Stopped, Frozen, "R4"),
        row(Freezing, Voided, Following, "R4"),
        row(Frozen, Voided, Following, "R4"),
        row(Frozen, LacksLog, Fetching, "R5"),
        row(Frozen, Turn, Claiming, "L2"),
        row(Fetching, Fetched, Frozen, "R5"),
        row(Fetching, FetchFailed, Freezing, "R4"),
        row(Fetching, Voided, Following, "R4"),
        row(Claiming, Refused, Frozen, "L3"),
        row(Claiming, Voided, Following, "L3"),
        row(Claiming, LeaseMineUnpromoted, Elected, "L3"),
        // The way to be primary.
        row(Elected, MayPromote, Promoting, "L5"),
        row(Elected, PromotionFailed, Fencing, "L5"),
        row(Elected, Deposed, Following, "R1"),
        row(Promoting, Promoted, Recording, "L5"),
        row(Promoting, PromotionFailed, Fencing, "L5"),
        row(Promoting, DeadlinePassed, Fencing, "R3"),
        row(Promoting, Deposed, Fencing, "R1"),
        row(Recording, Opened, Leading, "R6"),
        row(Recording, PostgresGone, Restarting, "R7"),
        row(Recording, PromotedOtherwise, Fencing, "R5"),
        row(Recording, DeadlinePassed, Fencing, "R3"),
        row(Recording, Deposed, Fencing, "R1"),
        // A primary.
        row(Leading, PostgresGone, Restarting, "R7"),
        row(Leading, TransferDue, Draining, "R11"),
        row(Leading, DeadlinePassed, Fencing, "R3"),
        row(Leading, Deposed, Fencing, "R1"),
        row(Restarting, Restarted, Reopening, "R6"),
        row(Restarting, RestartFailed, Fencing, "R9"),
        row(Restarting, Deposed, Fencing, "R1"),
        row(Reopening, Opened, Leading, "R6"),
        row(Reopening, PostgresGone, Restarting, "R7"),
        row(Reopening, PromotedOtherwise, Fencing, "R5"),
        row(Reopening, DeadlinePassed, Fencing, "R3"),
        row(Reopening, Deposed, Fencing, "R1"),
        // The end of a primaryship.
        row(Draining, Drained, Fencing, "R11"),
        row(Draining, StillRuns, Leading, "R9"),
        row(Draining, DrainFailed, Fencing, "R11"),
        row(Draining, DeadlinePassed, Fencing, "R3"),
        row(Draining, Deposed, Fencing, "R1"),
        row(Fencing, ProvenStillMine, Restarting, "R9"),
        row(Fencing, ProvenGiveBack, Releasing, "R3"),
        row(Fencing, ProvenNotMine, Following, "R3"),
        row(Releasing, GivenBack, Following, "R11"),
    ]
};

/// The row for a change, if it is allowed.
#[must_use]
pub fn find(from: State, trigger: Trigger) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.from == from && row.trigger == trigger)
}

/// The table as a Mermaid state diagram.
#[must_use]
pub fn mermaid() -> String {
    let mut text = String::from("stateDiagram-v2\n    [*] --> Starting\n");
    for row in TABLE {
        let _ = writeln!(text, "    {} --> {}: {:?} ({})", row.from, row.to, row.trigger, row.rule);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_and_a_trigger_lead_to_one_state() {
        for (i, row) in TABLE.iter().enumerate() {
            let same = |r: &&Row| r.from == row.from && r.trigger == row.trigger;
            assert_eq!(TABLE.iter().position(|r| same(&r)), Some(i), "{row:?} is there twice");
        }
    }

    #[test]
    fn every_state_is_reached_and_every_state_but_parked_and_a_witnesss_is_left() {
        for state in State::ALL {
            let reached = state == State::Starting || TABLE.iter().any(|r| r.to == state);
            let left =
                matches!(state, State::Parked | State::Witnessing) || TABLE.iter().any(|r| r.from == state);
            assert!(reached && left, "{state}");
        }
    }
}
