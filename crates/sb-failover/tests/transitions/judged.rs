//! What an election tells people.

use sb_failover::record::Pause;

use crate::bench::*;

fn frozen_after(record: ClusterRecord) -> Bench {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = record;
    let mut bench = bench.begin();
    bench.later(6_000);
    bench
}

#[test]
fn a_winner_has_told_every_gate_of_every_member_before_it_takes_over() {
    let bench = frozen_after(founded_by("other"));
    bench.took(State::Claiming, Trigger::LeaseMineUnpromoted);
    let last = bench.judged.last().unwrap();
    assert_eq!((last.term, &last.winner), (FIRST, &Some(name("us"))), "{last:?}");
    let names: Vec<_> = last.candidates.iter().map(|c| (c.server.as_str(), c.place)).collect();
    assert_eq!(names, [("us", Some(1)), ("other", None)]);
    assert!(last.candidates[0].gates.len() >= 6 && last.candidates[0].gates.iter().all(|gate| gate.ok));
    assert_eq!(last.candidates[1].why, "it held the lease, and has not come back as a standby");
}

#[test]
fn an_election_that_does_not_move_is_told_once() {
    let mut bench = held(Bench::joiner(Phase::Standby, Role::Standby), &["Freeze"]);
    bench.record = founded_by("other");
    let mut bench = bench.begin();
    bench.later(5_000);
    bench.is(State::Freezing);
    // It has promised already when the pause begins, so it judges while it may not take over.
    bench.record.pause = Some(Pause { id: 1, for_ms: 600_000, by: "ada".into(), reason: String::new() });
    bench.held.clear();
    let freeze = bench.commands[*bench.issued("Freeze").last().unwrap()].clone();
    bench.show();
    bench.finish(&freeze);
    bench.later(3_000);
    bench.is(State::Frozen);
    assert_eq!(bench.judged.len(), 1, "{:?}", bench.judged);
    assert_eq!(bench.judged[0].verdict, "nobody takes over: failover is paused");
    bench.later(60_000);
    assert_eq!(bench.judged.len(), 1);
}
