//! Whole clusters under faults: a safety phase, then a calm in which each has to become whole again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::io::Write as _;

use sb_failover::State::*;
use sb_failover::Trigger::*;
use sb_failover::{State, TABLE, Trigger};
use sb_sim::{Campaign, Report};

const SCHEDULES: u64 = 2_000;

/// Rows of the transition table that need a coincidence or a person: `crates/sb-failover/tests/transitions` brings
/// each about.
const BY_HAND: &[(State, Trigger)] = &[
    (Starting, NoPostgres),
    (Starting, WrongData),
    (Following, MayFound),
    (Waiting, MayFound),
    (Waiting, LeaseMineNoData),
    (Initializing, WrongData),
    (Repairing, LeaseMineNoData),
    (Following, WrongData),
    (Following, FoundUnlawful),
    (Following, LeaseMine),
    (Elected, Deposed),
    (Promoting, Deposed),
    (Recording, Deposed),
    (Reopening, Deposed),
    (Draining, Deposed),
    (Recording, PromotedOtherwise),
    (Reopening, PromotedOtherwise),
];

/// What has to happen in that many schedules, and how often at least: a simulation in which nothing happens breaks no
/// rule either.
const HAPPENS: &[(&str, u64)] = &[
    ("writes confirmed", 1_500_000),
    ("terms", 4_000),
    ("PostgreSQL promoted", 2_500),
    ("hand-over: Expired", 1_500),
    ("hand-over: Released", 400),
    ("hand-over: Switchover", 400),
    ("hand-over: Failover", 50),
    ("repair: copied", 5_000),
    ("repair: rewound", 1_200),
    ("journal: fetching", 700),
    ("journal: fell back", 100),
    ("journal: set formed", 10_000),
    ("journal: failsafe holds", 100),
    ("journal: another lease length", 1_500),
    ("store: leader elected", 4_000),
    ("store: snapshot installed", 250),
    ("fault: site lost", 100),
    ("fault: host lost", 1_000),
    ("fault: agent crashed", 1_000),
    ("fault: agent frozen", 1_000),
    ("fault: host suspended", 200),
    ("fault: host suspended with its clock", 80),
    ("fault: links cut", 10_000),
    ("fault: links slow", 400),
    ("fault: machine deaf to its store", 2_000),
    ("fault: receiver slow", 500),
    ("fault: disk slow", 300),
    ("fault: disk full", 300),
    ("fault: disk fails", 300),
    ("fault: guard lost", 200),
    ("fault: guard stopped", 150),
    ("fault: PostgreSQL crashed", 600),
    ("fault: PostgreSQL hangs", 300),
    ("fault: directories lost", 250),
    ("fault: store cut off", 1_500),
];

#[test]
fn two_thousand_schedules_break_no_rule_and_leave_nothing_out() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let report = Campaign { from: 0, schedules: SCHEDULES, threads, profile: None }.run();
    for failure in &report.failures {
        let (seed, v) = (failure.seed, &failure.violation);
        say(&format!("seed {seed} ({}): {} at {} ms: {}", failure.profile, v.invariant, v.at_ms, v.what));
        say(&format!("  hint: ./run sim --seed {seed} --schedules 1 --profile {} --trace", failure.profile));
    }
    assert!(report.failures.is_empty(), "{} schedules broke a rule", report.failures.len());
    assert_eq!(rare(&report), Vec::<String>::new());
    assert_eq!(unreached(&report.moves), []);
}

fn rare(report: &Report) -> Vec<String> {
    let short = HAPPENS.iter().filter(|(what, least)| report.tally.of(what) < *least);
    short.map(|(what, least)| format!("{what}: {} of {least}", report.tally.of(what))).collect()
}

fn unreached(moves: &BTreeSet<(State, Trigger)>) -> Vec<(State, Trigger)> {
    let rows = TABLE.iter().map(|row| (row.from, row.trigger));
    rows.filter(|row| !moves.contains(row) && !BY_HAND.contains(row)).collect()
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
