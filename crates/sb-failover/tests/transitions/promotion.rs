//! From a lease to a primary.

use sb_failover::record::{Released, Report};
use sb_failover::{Election, elect};

use crate::bench::*;

#[test]
fn a_winner_whose_guard_does_not_answer_gives_the_lease_back() {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = won_by_us();
    let mut bench = held(bench, &["ArmGuard"]).begin();
    bench.is(State::Elected);
    bench.later(16_000);
    bench.took(State::Elected, Trigger::PromotionFailed);
    assert_eq!(bench.postgres.role, Role::Standby);
}

#[test]
fn a_winner_that_is_deposed_before_it_promotes_follows() {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = won_by_us();
    let mut bench = held(bench, &["ArmGuard"]).begin();
    bench.show_record(deposed(bench.record.clone()));
    bench.took(State::Elected, Trigger::Deposed);
}

fn promoting() -> Bench {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = won_by_us();
    let bench = held(bench, &["Promote"]).begin();
    bench.is(State::Promoting);
    bench
}

#[test]
fn a_promotion_that_outlives_its_lease_is_killed() {
    let mut bench = promoting();
    bench.held.push("Propose");
    bench.later(4_000);
    bench.took(State::Promoting, Trigger::DeadlinePassed);
}

#[test]
fn a_promotion_is_killed_when_another_server_has_the_lease() {
    let mut bench = promoting();
    bench.show_record(deposed(bench.record.clone()));
    bench.took(State::Promoting, Trigger::Deposed);
}

#[test]
fn a_promotion_that_hangs_gives_the_lease_back() {
    let mut bench = promoting();
    bench.later(16_000);
    bench.took(State::Promoting, Trigger::PromotionFailed);
    bench.took(State::Fencing, Trigger::ProvenGiveBack);
}

#[test]
fn a_new_primary_is_killed_when_another_server_has_the_lease() {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = won_by_us();
    let mut bench = held(bench, &["OpenClients"]).begin();
    bench.is(State::Recording);
    bench.show_record(deposed(bench.record.clone()));
    bench.took(State::Recording, Trigger::Deposed);
}

#[test]
fn a_term_is_not_promoted_twice() {
    let mut bench = Bench::joiner(Phase::Standby, Role::Stopped);
    bench.record = founded_by("us");
    let mut bench = bench.begin();
    bench.later(8_000);
    bench.took(State::Elected, Trigger::PromotionFailed);
    bench.took(State::Releasing, Trigger::GivenBack);
    // It has the end of its own log, so it may take over from itself, in a new term.
    assert!(bench.issued("StartPrimary").is_empty());
    assert_eq!(bench.record.term(), FIRST.next());
}

#[test]
fn whoever_has_what_a_failed_winner_took_over_with_may_take_over() {
    let mut record = taken_over(founded_by("other"), "us");
    let taken = record.history.last().unwrap().position.clone();
    let release = Request::Release {
        holder: name("us"),
        incarnation: Incarnation::new(1),
        term: record.term(),
        renewal: RenewalNumber { session: Session::new(1), count: 1 },
        end: None,
        to: None,
    };
    let mut promoted = record.clone();
    record.apply(&release).unwrap();
    assert_eq!(record.lease.unwrap().released.unwrap().end, taken);

    // With the promotion on record clients may have been in.
    promoted.lineage.as_mut().unwrap().term = promoted.term();
    let mut unsettled = promoted.clone();
    promoted.apply(&release).unwrap();
    assert_eq!(promoted.lease.unwrap().released.unwrap().end, None);

    // Not in the synchronous modes, as long as the term has no set of its own.
    unsettled.sync = synchronous("other", &["us", "b"]).sync;
    let mut settled = unsettled.clone();
    unsettled.apply(&release).unwrap();
    assert_eq!(unsettled.lease.unwrap().released.unwrap().end, taken);
    settled.sync.term = settled.term();
    settled.apply(&release).unwrap();
    assert_eq!(settled.lease.unwrap().released.unwrap().end, None);
}

/// The former primary has log that nobody confirmed; the winner promoted beside it, was lost before that was on record,
/// and gave its lease back with its end. Who has that end cannot fetch the other's log, nor the other that of the winner.
#[test]
fn whoever_has_the_end_of_an_unrecorded_promotion_passes_without_the_log_beside_it() {
    let beside = Lineage::first().forked(Lsn::new(9_000), TimelineId::try_from(2).unwrap()).unwrap();
    let end = Position { lineage: beside, flushed: Lsn::new(9_100) };
    let mut record = synchronous("other", &["us", "b", "c"]);
    let lease = record.lease.as_mut().unwrap();
    lease.released = Some(Released { end: Some(end.clone()), to: None });
    let (term, seq) = (lease.term, lease.seq);
    let tail = Report { term, seq, position: position(9_900) };
    record.reports.insert(name("other"), tail);
    assert_eq!(elect(&record), Election::Blocked(Some(Rejection::TooFewReports { have: 0, need: 3 })));

    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = record.clone();
    bench.postgres.position = Some(end.clone());
    let mut bench = held(bench, &["Promote"]).begin();
    bench.later(10_000);
    bench.took(State::Claiming, Trigger::LeaseMineUnpromoted);
    assert!(bench.issued("Fetch").is_empty());
    assert_eq!(bench.record.history.last().unwrap().position, Some(end.clone()));

    // Asynchronously the log beside the end may have been confirmed: the bound decides about it, and it is fetched.
    record.sync = SyncRecord::default();
    record.reports.insert(name("us"), Report { term, seq, position: end });
    let Election::Decided(ranked) = elect(&record) else { panic!("nobody was elected") };
    let us = ranked.iter().find(|ranked| ranked.server == name("us")).unwrap();
    assert_eq!((us.proof, &us.fetch), (Proof::LagBound, &Some((name("other"), position(9_900)))));
}

/// The answer to a renewal may come before the record that it is in; the one that was replayed at the start may be older
/// than this term's promotion.
#[test]
fn a_term_is_not_promoted_before_the_record_shows_a_renewal_of_this_run() {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = won_by_us();
    let mut bench = held(bench, &["Propose"]).begin();
    bench.is(State::Elected);
    let asked = bench.commands.iter().find_map(|c| match c {
        Command::Propose { id, request: request @ Request::Renew { .. } } => Some((*id, request.clone())),
        _ => None,
    });
    let (id, renewal) = asked.unwrap();
    bench.tell(Event::ProposalDone { id, result: ProposalResult::Applied });
    bench.later(100);
    assert!(bench.guard.armed.is_some());
    assert!(bench.issued("Promote").is_empty());

    let mut record = bench.record.clone();
    let promoted = Request::Promoted {
        holder: name("us"),
        incarnation: Incarnation::new(1),
        term: record.term(),
        lineage: Lineage::first().forked(Lsn::new(9_000), TimelineId::try_from(2).unwrap()).unwrap(),
    };
    record.apply(&promoted).unwrap();
    record.apply(&renewal).unwrap();
    bench.show_record(record);
    bench.took(State::Elected, Trigger::PromotionFailed);
    assert!(bench.issued("Promote").is_empty());
}

fn line(forks: &[(u64, u32)]) -> Lineage {
    let next = |line: Lineage, (at, id): &(u64, u32)| {
        line.forked(Lsn::new(*at), TimelineId::try_from(*id).unwrap()).unwrap()
    };
    forks.iter().fold(Lineage::first(), next)
}

/// Our server has the lease of a term. An earlier run promoted it to timeline 2, asked for that to be put on record and was
/// killed; the request is carried out while this run promotes again, to timeline 3 from the end of `from`.
fn promoted_twice(from: Lineage) -> Bench {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = won_by_us();
    bench.postgres.position = Some(Position { lineage: from, flushed: Lsn::new(9_100) });
    let mut bench = held(bench, &["Promote", "Freeze"]).begin();
    bench.is(State::Promoting);
    let (term, in_force) = (bench.record.term(), bench.record.lineage.as_mut().unwrap());
    in_force.term = term;
    in_force.lineage = line(&[(9_000, 2)]);
    let promote = bench.commands.last().unwrap().clone();
    bench.finish(&promote);
    bench.show();
    bench
}

#[test]
fn a_primary_beside_the_promotion_on_record_lets_nobody_in_and_gives_the_lease_back() {
    for from in [line(&[]), line(&[(9_000, 2)])] {
        let bench = promoted_twice(from);
        bench.took(State::Recording, Trigger::PromotedOtherwise);
        bench.took(State::Releasing, Trigger::GivenBack);
        assert!(bench.issued("OpenClients").is_empty());
        // Nobody has confirmed anything in this term, so whoever has what it began with has everything.
        let released = bench.record.lease.as_ref().unwrap().released.as_ref().unwrap();
        assert_eq!(released.end, Some(position(9_000)));
        let mut record = bench.record.clone();
        let lease = record.lease.clone().unwrap();
        let report = Report { term: lease.term, seq: lease.seq, position: position(9_000) };
        record.reports.insert(name("other"), report);
        let Election::Decided(ranked) = elect(&record) else { panic!("nobody was elected") };
        assert_eq!((&ranked[0].server, ranked[0].proof), (&name("other"), Proof::EndOfWal));
    }
}

#[test]
fn a_server_that_continues_the_promotion_on_record_takes_over_in_a_new_term() {
    let mut bench = promoted_twice(line(&[(9_000, 2)]));
    bench.held.clear();
    let freeze = bench.commands.last().unwrap().clone();
    bench.finish(&freeze);
    bench.later(20_000);
    bench.is(State::Leading);
    assert_eq!(bench.record.term(), FIRST.next().next());
    assert_eq!(bench.record.lineage.unwrap().lineage, line(&[(9_000, 2), (9_100, 3), (9_100, 4)]));
}

/// Whether clients had come in before the restart is not known to this run.
#[test]
fn a_restarted_primary_beside_the_promotion_on_record_claims_no_end() {
    let mut bench = Bench::leader();
    bench.record.lineage.as_mut().unwrap().lineage = line(&[(900, 2)]);
    let bench = held(bench, &["Freeze"]).begin();
    bench.took(State::Reopening, Trigger::PromotedOtherwise);
    assert!(bench.issued("OpenClients").is_empty());
    assert_eq!(bench.record.lease.unwrap().released.unwrap().end, None);
}

/// We took over, promoted, asked for that to be put on record and were lost for good. The request is carried out when the
/// others have reported: the former primary with log of its own that the promotion has left behind.
#[test]
fn a_report_that_a_late_promotion_leaves_behind_keeps_nobody_from_taking_over() {
    let mut record = won_by_us();
    record.members.insert(name("b"), member());
    let (term, seq) = (record.term(), record.lease.as_ref().unwrap().seq);
    let incarnation = Incarnation::new(1);
    for (server, end) in [("other", 9_500), ("b", 9_000)] {
        let position = position(end);
        record.apply(&Request::Report { server: name(server), incarnation, term, seq, position }).unwrap();
    }
    let lineage = line(&[(9_000, 2)]);
    record.apply(&Request::Promoted { holder: name("us"), incarnation, term, lineage }).unwrap();
    assert_eq!(record.reports.keys().collect::<Vec<_>>(), [&name("b")]);
    let Election::Decided(ranked) = elect(&record) else { panic!("nobody was elected") };
    assert_eq!(ranked.iter().map(|r| &r.server).collect::<Vec<_>>(), [&name("b")]);
}
