//! Every row of the transition table happens, and the diagram in the documents is that of the table.

use std::collections::BTreeSet;

use sb_failover::{State, TABLE, Trigger};

/// Rows that need a person or a clean room; their own tests are in `tests/machine.rs`.
const BY_HAND: &[(State, Trigger)] = &[];

pub fn unreached(moves: &BTreeSet<(State, Trigger)>) -> Vec<(State, Trigger)> {
    let rows = TABLE.iter().map(|row| (row.from, row.trigger));
    rows.filter(|row| !moves.contains(row) && !BY_HAND.contains(row)).collect()
}
