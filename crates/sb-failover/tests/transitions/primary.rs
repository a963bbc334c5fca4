//! A primary, its lease and its planned end.

use crate::bench::*;

#[test]
fn a_primary_is_killed_when_another_server_has_the_lease() {
    let mut bench = Bench::leader().begin();
    bench.is(State::Leading);
    bench.show_record(deposed(bench.record.clone()));
    bench.took(State::Leading, Trigger::Deposed);
    assert!(bench.moves.contains(&(State::Fencing, Trigger::ProvenNotMine)));
}

#[test]
fn a_draining_primary_is_killed_when_its_lease_is_gone_or_over() {
    let mut bench = draining();
    bench.show_record(deposed(bench.record.clone()));
    bench.took(State::Draining, Trigger::Deposed);
    let mut bench = draining();
    bench.held.push("Propose");
    bench.later(4_000);
    bench.took(State::Draining, Trigger::DeadlinePassed);
}

#[test]
fn a_switchover_to_a_standby_that_does_not_stream_is_refused() {
    let mut bench = Bench::leader().begin();
    let transfer = Transfer {
        id: TransferId(1),
        to: Some(name("other")),
        kind: TransferKind::Switchover,
        by: "me".into(),
    };
    bench.record.apply(&Request::RequestTransfer { transfer }).unwrap();
    bench.show();
    bench.is(State::Leading);
    assert_eq!(bench.record.transfer, None);
}

#[test]
fn a_shorter_lease_is_not_proposed_before_the_guard_has_the_earlier_deadline() {
    let mut bench = Bench::leader().begin();
    let timings = Timings { ttl_ms: 2_000, ..Timings::default() };
    bench.record.apply(&Request::SetTimings { timings, lag_bytes_max: 0 }).unwrap();
    bench.held.push("ArmGuard");
    bench.show();
    bench.later(600);
    assert_eq!(bench.record.lease.as_ref().unwrap().ttl_ms, 3_500);
    bench.held.clear();
    let told = bench.commands.iter().rev().find_map(|c| match c {
        Command::ArmGuard { term, fence_at } => Some(Armed { term: *term, fence_at: *fence_at }),
        _ => None,
    });
    bench.guard.armed = told;
    bench.tell(Event::Guard(bench.guard));
    bench.later(50);
    assert_eq!(bench.record.lease.as_ref().unwrap().ttl_ms, 2_000);
}

#[test]
fn a_report_for_an_older_renewal_is_refused() {
    let mut record = founded_by("other");
    let report = |seq| Request::Report {
        server: name("us"),
        incarnation: Incarnation::new(1),
        term: FIRST,
        seq: Seq::new(seq),
        position: position(10),
    };
    assert!(record.apply(&report(0)).is_ok());
    assert!(record.apply(&first_renewal_of("other")).is_ok());
    assert!(record.reports.is_empty());
    assert!(record.apply(&report(0)).is_err());
}

/// A primary that is asked to hand over, its shutdown under way.
fn draining() -> Bench {
    let mut bench = held(Bench::leader(), &["StopPostgres"]).begin();
    let kind = TransferKind::Failover { accept_data_loss_bytes: 0 };
    let transfer = Transfer { id: TransferId(1), to: Some(name("other")), kind, by: "a person".into() };
    bench.record.apply(&Request::RequestTransfer { transfer }).unwrap();
    bench.show();
    bench.is(State::Draining);
    bench
}

fn shutdown_fails(bench: &mut Bench) {
    let op = bench.commands.iter().rev().find_map(Command::op).unwrap();
    bench
        .tell(Event::Done { op, result: Err(OpFailure::Failed { detail: "the checkpoint is slow".into() }) });
    bench.is(State::Draining);
}

#[test]
fn a_primary_that_could_not_be_stopped_goes_on_and_the_transfer_is_cancelled() {
    let mut bench = draining();
    shutdown_fails(&mut bench);
    bench.tell(Event::Postgres(bench.postgres.clone()));
    bench.took(State::Draining, Trigger::StillRuns);
    bench.later(2_000);
    bench.is(State::Leading);
    assert_eq!(bench.record.transfer, None);
    assert!(bench.issued("Fence").is_empty());
    assert_eq!(bench.issued("StopPostgres").len(), 1);
}

#[test]
fn a_primary_that_is_not_known_to_run_after_a_failed_stop_is_killed_and_restarted() {
    let mut bench = draining();
    shutdown_fails(&mut bench);
    bench.later(11_000);
    bench.took(State::Draining, Trigger::DrainFailed);
    bench.is(State::Leading);
    assert_eq!(bench.record.transfer, None);
}
