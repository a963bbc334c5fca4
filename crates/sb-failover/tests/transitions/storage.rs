//! A disk that hangs (patroni #2380): the process lives, and nothing that it is asked comes to an end.

use sb_failover::Storage;

use crate::bench::*;

#[test]
fn a_primary_whose_disk_hangs_lets_the_lease_lapse() {
    let mut bench = Bench::leader().begin();
    bench.later(1_000);
    bench.is(State::Leading);
    let before = bench.seq();
    bench.tell(Event::Storage(Storage::Hangs));
    bench.later(5_000);
    bench.took(State::Leading, Trigger::DeadlinePassed);
    assert_eq!(bench.seq(), before, "it was renewed by a server that can confirm nothing");
    let gates = bench.machine.explain(bench.now).gates;
    assert!(gates.iter().any(|gate| gate.name.contains("disk") && !gate.ok), "{gates:?}");
}

#[test]
fn a_disk_that_answers_again_in_time_costs_nothing() {
    let mut bench = Bench::leader().begin();
    bench.later(1_000);
    let before = bench.seq();
    bench.tell(Event::Storage(Storage::Hangs));
    bench.later(2_000);
    bench.tell(Event::Storage(Storage::Answers));
    bench.later(5_000);
    bench.is(State::Leading);
    assert!(bench.seq() > before, "nothing was renewed");
}

#[test]
fn a_standby_whose_disk_hangs_does_not_stand() {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = founded_by("other");
    let mut bench = bench.begin();
    bench.is(State::Following);
    bench.tell(Event::Storage(Storage::Hangs));
    bench.later(20_000);
    bench.is(State::Following);
    bench.tell(Event::Storage(Storage::Answers));
    bench.later(1_000);
    bench.took(State::Following, Trigger::Suspected);
}
