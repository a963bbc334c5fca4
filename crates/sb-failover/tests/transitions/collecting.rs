//! How long a candidate waits for the reports of others that may not come.

use crate::bench::*;

/// `other` led and is gone; `b` never reports; we are frozen, and commands of these names have come to nothing.
fn frozen_without_b(commands: &[&'static str]) -> Bench {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = founded_by("other");
    bench.record.members.insert(name("b"), member());
    let mut bench = held(bench.begin(), commands);
    while bench.machine.state() != State::Frozen {
        assert!(bench.moves.len() < 3, "{:?}", bench.moves);
        bench.later(50);
    }
    bench
}

#[test]
fn who_has_collected_reports_since_its_own_claims_when_the_lease_ends() {
    let mut bench = frozen_without_b(&[]);
    bench.later(900);
    bench.is(State::Frozen);
    bench.later(150);
    bench.is(State::Leading);
}

#[test]
fn who_could_not_report_before_the_lease_ended_collects_from_then_on() {
    let mut bench = frozen_without_b(&["Propose"]);
    bench.later(1_200);
    bench.held.clear();
    let late = bench.commands.iter().rfind(|command| command.name() == "Propose").cloned();
    bench.carry_out(late.unwrap());
    bench.later(200);
    bench.is(State::Frozen);
    bench.later(150);
    bench.is(State::Leading);
}
