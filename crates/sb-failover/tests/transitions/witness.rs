//! A server without PostgreSQL.

use crate::bench::*;

fn witness() -> Bench {
    let (phase, data) = (Phase::Empty, DataDirectory::Absent);
    Bench::new(Founding::Witness, phase, Role::Stopped, data)
}

/// The record of a cluster that another server founded, in which ours is a witness.
fn led_by_other() -> ClusterRecord {
    let mut record = founded_by("other");
    record.members.insert(name("us"), Member { promotable: false, ..member() });
    record
}

#[test]
fn a_witness_needs_neither_guard_nor_postgresql() {
    let mut bench = witness();
    bench.record = led_by_other();
    bench.show();
    bench.took(State::Starting, Trigger::NoPostgres);
    bench.is(State::Witnessing);
}

#[test]
fn a_witness_registers_and_does_nothing_when_the_primary_is_lost() {
    let mut bench = witness();
    bench.record = founded_by("other");
    bench.record.members.remove(&name("us"));
    bench.show();
    bench.later(20_000);
    bench.is(State::Witnessing);
    assert!(bench.record.members.contains_key(&name("us")));
    assert_eq!(bench.record.term(), FIRST);
    let other = bench.commands.iter().find(|c| !matches!(c, Command::Propose { .. }));
    assert_eq!(other, None);
}

#[test]
fn a_witness_helps_to_end_a_pause() {
    let mut bench = witness();
    bench.record = led_by_other();
    let pause = sb_failover::record::Pause { id: 3, for_ms: 1_000, by: "root".into(), reason: String::new() };
    bench.record.apply(&Request::SetPause { pause }).unwrap();
    bench.show();
    bench.later(5_000);
    assert_eq!(bench.record.pause, None);
}
