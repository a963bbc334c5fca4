//! R3: a primary that nobody would kill does not extend its lease.

use crate::bench::*;

/// A primary from which nothing can take PostgreSQL away, the guard included.
fn leading() -> Bench {
    let mut bench = Bench::leader().begin();
    bench.is(State::Leading);
    bench.later(1_000);
    bench.held.push("Fence");
    bench
}

#[track_caller]
fn lets_the_lease_lapse(mut bench: Bench, renewals_more_max: u64) {
    let before = bench.seq().get();
    bench.later(5_000);
    bench.took(State::Leading, Trigger::DeadlinePassed);
    let more = bench.seq().get() - before;
    assert!(more <= renewals_more_max, "{more} renewals");
    bench.later(10_000);
    assert_eq!(bench.seq().get(), before + more);
}

#[test]
fn a_guard_that_takes_no_deadlines_lets_the_lease_lapse() {
    let mut bench = leading();
    bench.held.push("ArmGuard");
    lets_the_lease_lapse(bench, 2);
}

#[test]
fn a_lost_guard_lets_the_lease_lapse() {
    let mut bench = leading();
    bench.held.push("ArmGuard");
    bench.tell(Event::GuardLost);
    lets_the_lease_lapse(bench, 0);
}

#[test]
fn a_postgresql_that_ends_with_its_guard_does_not_keep_the_lease() {
    let mut bench = leading();
    bench.held.push("ArmGuard");
    bench.postgres_is(Role::Stopped);
    bench.tell(Event::GuardLost);
    bench.tell(Event::Postgres(bench.postgres.clone()));
    lets_the_lease_lapse(bench, 0);
}

#[test]
fn a_new_guard_in_time_means_a_restart_under_the_same_lease() {
    let mut bench = leading();
    bench.held.push("ArmGuard");
    bench.tell(Event::GuardLost);
    bench.later(500);
    bench.held.clear();
    bench.guard.armed = None;
    bench.crash();
    bench.took(State::Leading, Trigger::PostgresGone);
    bench.is(State::Leading);
    assert_eq!(bench.record.term(), FIRST);
    let before = bench.seq();
    bench.later(1_000);
    assert!(bench.seq() > before);
}

#[test]
fn a_guard_that_does_not_report_a_deadline_is_told_again() {
    let mut bench = leading();
    bench.held.push("ArmGuard");
    bench.later(600);
    let before = bench.issued("ArmGuard").len();
    bench.tell(Event::GuardLost);
    bench.held.clear();
    bench.tell(Event::Guard(bench.guard));
    assert!(bench.issued("ArmGuard").len() > before);
    bench.later(4_000);
    bench.is(State::Leading);
}

/// Nobody but this rule sees the difference, so its mutant is caught here.
#[test]
fn renewing_without_a_guard_is_what_the_rule_prevents() {
    let mut bench = Bench::leader_with(Some(Mutant::RenewUnguarded)).begin();
    bench.held.extend(["Fence", "ArmGuard"]);
    let before = bench.seq();
    bench.later(10_000);
    bench.is(State::Leading);
    assert!(bench.seq() > before);
}
