//! A person names the next primary: what it takes from the others first, and what it is told to say.

use sb_failover::record::Report;
use sb_failover::{Election, Failsafe, at_risk, elect, judge, loss_if_named};

use crate::bench::*;

const FAR: u64 = 4 << 20;
const NEAR: u64 = 3 << 20;
const HERE: u64 = 2 << 20;

/// The holder told `FAR` and is gone; we stand at `HERE`.
fn lagging() -> Bench {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = founded_by("other");
    for server in ["b", "c"] {
        bench.record.members.insert(name(server), member());
    }
    bench.record.lag_bytes_max = 4_096;
    bench.record.position = Some(position(FAR));
    bench.postgres.position = Some(position(HERE));
    bench.begin()
}

fn report(bench: &mut Bench, server: &str, bytes: u64) {
    let lease = bench.record.lease.clone().unwrap();
    let report = Report { term: lease.term, seq: lease.seq, position: position(bytes) };
    bench.record.reports.insert(name(server), report);
    bench.show();
}

fn name_us(bench: &mut Bench, accept_data_loss_bytes: u64) {
    let kind = TransferKind::Failover { accept_data_loss_bytes };
    let transfer = Transfer { id: TransferId(1), to: Some(name("us")), kind, by: "root".into() };
    bench.record.apply(&Request::RequestTransfer { transfer }).unwrap();
    bench.show();
}

/// patroni #1849: all standbys lag. The refusal says how many bytes are at risk, and one command that accepts them.
#[test]
fn where_all_lag_nobody_takes_over_and_the_bytes_at_risk_are_told() {
    let mut bench = lagging();
    bench.later(20_000);
    report(&mut bench, "b", NEAR);
    bench.later(2_000);
    bench.is(State::Frozen);
    assert_eq!(at_risk(&bench.record), Some((name("b"), 1_048_576)));
    let why = Rejection::TooFarBehind { bytes: 1_048_576, allowed: 4_096 };
    assert_eq!(elect(&bench.record), Election::Blocked(Some(why)));
    let next = bench.machine.explain(bench.now).next;
    assert!(next.contains("1048576 bytes would be lost, 4096 are allowed"), "{next}");
    assert!(next.ends_with("sb-cli failover --to b --accept-data-loss 1048576"), "{next}");
}

#[test]
fn a_named_server_takes_first_what_another_that_answers_has_more() {
    let mut bench = held(lagging(), &["Fetch"]);
    bench.later(20_000);
    report(&mut bench, "b", NEAR);
    name_us(&mut bench, 2 << 20);
    bench.later(500);
    bench.is(State::Fetching);
    let fetch = bench.commands.last().unwrap().clone();
    assert!(matches!(&fetch, Command::Fetch { source, .. } if *source == name("b")), "{fetch:?}");
    bench.postgres.position = Some(position(NEAR));
    bench.tell(Event::Done { op: fetch.op().unwrap(), result: Ok(OpOutput::At(position(NEAR))) });
    // `c` may still report something better: it is waited for, and not for ever.
    bench.later(1_000);
    assert_eq!(bench.record.term(), FIRST);
    bench.later(10_000);
    bench.is(State::Leading);
    assert_eq!(bench.record.history.last().unwrap().position, Some(position(NEAR)));
}

/// `b` has promised the holder not to act against its lease (R10), and freezes only when that ends.
#[test]
fn with_the_failsafe_a_named_server_waits_for_those_that_have_promised_the_holder() {
    let mut bench = held(lagging(), &["Fetch"]);
    bench.record.timings.failsafe = Failsafe::On;
    bench.show();
    bench.later(20_000);
    name_us(&mut bench, 2 << 20);
    bench.later(12_000);
    bench.is(State::Frozen);
    report(&mut bench, "b", NEAR);
    bench.is(State::Fetching);
}

/// Nor for ever.
#[test]
fn with_the_failsafe_a_named_server_goes_on_when_every_promise_has_ended() {
    let mut bench = lagging();
    bench.record.timings.failsafe = Failsafe::On;
    bench.show();
    bench.later(20_000);
    name_us(&mut bench, 2 << 20);
    bench.later(20_000);
    bench.is(State::Leading);
}

#[test]
fn the_loss_of_a_choice_is_told_after_what_the_named_server_takes_first() {
    let mut record = lagging().record;
    let lease = record.lease.clone().unwrap();
    let report = |position| Report { term: lease.term, seq: lease.seq, position };
    assert_eq!(loss_if_named(&record, &name("us")), None, "it has not reported");
    record.reports.insert(name("us"), report(position(HERE)));
    assert_eq!(loss_if_named(&record, &name("us")), Some(FAR - HERE));
    record.reports.insert(name("b"), report(position(NEAR)));
    assert_eq!(loss_if_named(&record, &name("us")), Some(FAR - NEAR));
    assert_eq!(loss_if_named(&record, &name("b")), Some(FAR - NEAR));
    let lineage = Lineage::first().forked(Lsn::new(HERE), TimelineId::try_from(2).unwrap()).unwrap();
    record.lineage.as_mut().unwrap().lineage = lineage.clone();
    record.position = Some(Position { lineage, flushed: Lsn::new(FAR) });
    assert_eq!(loss_if_named(&record, &name("b")), None, "it has left the line");
}

#[test]
fn a_named_server_that_cannot_fetch_goes_on_with_the_loss_that_was_accepted() {
    let mut bench = lagging();
    bench.failing.push("Fetch");
    bench.later(20_000);
    report(&mut bench, "b", NEAR);
    name_us(&mut bench, 2 << 20);
    bench.later(15_000);
    bench.took(State::Fetching, Trigger::FetchFailed);
    bench.is(State::Leading);
}

#[test]
fn the_others_report_too_when_a_person_names_a_server_after_a_fall_back() {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = synchronous("other", &[]);
    bench.record.sync.degraded = true;
    let mut bench = bench.begin();
    bench.later(20_000);
    bench.is(State::Following);
    let kind = TransferKind::Failover { accept_data_loss_bytes: 1 << 20 };
    let transfer = Transfer { id: TransferId(1), to: Some(name("b")), kind, by: "root".into() };
    bench.record.apply(&Request::RequestTransfer { transfer }).unwrap();
    bench.show();
    bench.later(1_000);
    bench.is(State::Frozen);
    assert!(bench.record.valid_reports().any(|(server, _)| *server == name("us")));
}

/// The others freeze only when they see what was asked for (seed 200010 of `three-sync`, at d405f621e0341a2d: eleven confirmed
/// commits were lost although a live server had them).
#[test]
fn a_server_that_is_named_late_waits_for_those_that_freeze_only_then() {
    let mut bench = held(lagging(), &["Fetch"]);
    bench.later(30_000);
    bench.is(State::Frozen);
    name_us(&mut bench, 2 << 20);
    bench.later(4_000);
    bench.is(State::Frozen);
    report(&mut bench, "b", NEAR);
    bench.later(500);
    bench.is(State::Fetching);
}

/// We have promoted beside what `b` has, and were not put on record: its log cannot be fetched any more.
#[test]
fn the_loss_that_a_person_has_accepted_is_told_as_the_record_counts_it() {
    let mut record = synchronous("other", &["us", "b", "c"]);
    let lease = record.lease.clone().unwrap();
    let beside = Lineage::first().forked(Lsn::new(HERE), TimelineId::try_from(2).unwrap()).unwrap();
    let own = Position { lineage: beside, flushed: Lsn::new(HERE + 100) };
    for (server, position) in [("us", own), ("b", position(NEAR))] {
        let report = Report { term: lease.term, seq: lease.seq, position };
        record.reports.insert(name(server), report);
    }
    // The holder had sent more than it told last.
    record.position = Some(position(HERE));
    let kind = TransferKind::Failover { accept_data_loss_bytes: 2 << 20 };
    record.transfer = Some(Transfer { id: TransferId(1), to: Some(name("us")), kind, by: "root".into() });
    let judged = judge(&record).unwrap();
    assert_eq!(judged.verdict, "`us` takes over: a person has accepted what may be missing");
    let gate = judged.candidates[0].gates.iter().find(|gate| gate.name == "accepted loss").unwrap();
    assert_eq!(gate.observed, format!("{} bytes", NEAR - HERE));
}

#[test]
fn the_voter_whose_report_is_missing_is_named() {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = synchronous("other", &["us", "b", "c"]);
    let mut bench = bench.begin();
    bench.later(20_000);
    report(&mut bench, "b", 1_000);
    let explanation = bench.machine.explain(bench.now);
    let gate = explanation.gates.iter().find(|g| g.name == "reports of voters").unwrap();
    assert_eq!(
        (gate.observed.as_str(), gate.limit.as_str(), gate.ok),
        ("1; not from `c`", "2 or more", false)
    );
    assert!(explanation.next.contains("1 of 2 voters have promised"), "{}", explanation.next);
    assert!(explanation.next.contains("sb-cli failover --to"), "{}", explanation.next);
}

#[test]
fn after_a_start_that_failed_a_missing_voter_is_overruled_by_a_person_only() {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = synchronous("other", &["us", "b", "c"]);
    let mut bench = bench.begin();
    let release = Request::Release {
        holder: name("other"),
        incarnation: Incarnation::new(1),
        term: FIRST,
        renewal: RenewalNumber { session: Session::new(1), count: 1 },
        end: None,
        to: None,
    };
    bench.record.apply(&release).unwrap();
    bench.show();
    report(&mut bench, "b", 1_000);
    bench.later(30_000);
    bench.is(State::Frozen);
    let next = bench.machine.explain(bench.now).next;
    assert!(next.contains("1 of 2 voters have promised"), "{next}");
    assert!(next.contains("sb-cli failover --to"), "{next}");
    name_us(&mut bench, 0);
    bench.later(15_000);
    bench.is(State::Recording);
    assert_eq!(bench.record.holder(), Some(&name("us")));
}
