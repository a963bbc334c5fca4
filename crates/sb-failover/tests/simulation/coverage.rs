//! Every row of the transition table happens.

use std::collections::BTreeSet;

use sb_failover::State::*;
use sb_failover::Trigger::*;
use sb_failover::{State, TABLE, Trigger};

/// Rows that need a coincidence or a person: `tests/transitions.rs` brings each about.
const BY_HAND: &[(State, Trigger)] = &[
    (Starting, WrongData),
    (Starting, FoundUnlawful),
    (Starting, LeaseMineUnpromoted),
    (Starting, NoPostgres),
    (Waiting, MayFound),
    (Waiting, LeaseMineNoData),
    (Initializing, WrongData),
    (Repairing, LeaseMineNoData),
    (Following, WrongData),
    (Following, FoundUnlawful),
    (Following, MayFound),
    (Following, LeaseMine),
    (Following, LeaseMineUnpromoted),
    (Elected, PromotionFailed),
    (Elected, Deposed),
    (Promoting, DeadlinePassed),
    (Promoting, Deposed),
    (Recording, PromotedOtherwise),
    (Recording, Deposed),
    (Leading, Deposed),
    (Restarting, RestartFailed),
    (Reopening, PostgresGone),
    (Reopening, PromotedOtherwise),
    (Reopening, Deposed),
    (Draining, DeadlinePassed),
    (Draining, DrainFailed),
    (Draining, Deposed),
];

pub fn unreached(moves: &BTreeSet<(State, Trigger)>) -> Vec<(State, Trigger)> {
    let rows = TABLE.iter().map(|row| (row.from, row.trigger));
    rows.filter(|row| !moves.contains(row) && !BY_HAND.contains(row)).collect()
}
