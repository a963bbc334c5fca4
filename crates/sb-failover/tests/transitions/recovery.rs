//! A store whose majority was lost for good, and the server that a person goes on with.

use std::collections::BTreeSet;

use sb_failover::record::{Branch, Pause, RECOVERY_TERMS, Recovery, Report};

use crate::bench::*;

fn recovery(server: &str, accept_data_loss_bytes: u64) -> Recovery {
    let given_up = BTreeSet::from(["b", "c"].map(name));
    Recovery { id: 7, server: name(server), given_up, accept_data_loss_bytes, by: "root".into() }
}

fn recovered(mut record: ClusterRecord, recovery: Recovery) -> ClusterRecord {
    record.apply(&Request::Recover { recovery }).unwrap();
    record
}

/// A standby whose agent starts on a recovered record.
fn started_on(record: ClusterRecord) -> Bench {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = record;
    let mut bench = bench.begin();
    bench.later(6_000);
    bench
}

#[test]
fn the_named_server_takes_over_at_once_in_a_term_that_nobody_has_seen() {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = recovered(founded_by("other"), recovery("us", 0));
    let mut bench = bench.begin();
    bench.later(1_500);
    bench.is(State::Leading);
    assert_eq!(bench.record.term(), Term::new(1 + RECOVERY_TERMS + 1));
}

#[test]
fn a_loss_beyond_what_was_accepted_is_not_taken() {
    let mut record = synchronous("other", &["b", "c"]);
    record.position = Some(position(9_000));
    let bench = started_on(recovered(record.clone(), recovery("us", 7_999)));
    bench.is(State::Frozen);
    let bench = started_on(recovered(record, recovery("us", 8_000)));
    assert_eq!(bench.record.holder(), Some(&name("us")), "{:?}", bench.moves);
}

#[test]
fn the_last_holder_itself_can_be_the_one_that_goes_on() {
    let mut record = founded_by("us");
    let before = Member { incarnation: Incarnation::new(99), ..member() };
    record.members.insert(name("us"), before);
    record.lease.as_mut().unwrap().incarnation = Incarnation::new(99);
    let bench = started_on(recovered(record, recovery("us", 0)));
    bench.is(State::Leading);
}

#[test]
fn promises_and_wishes_of_the_lost_store_are_void() {
    let mut record = founded_by("other");
    let lease = record.lease.clone().unwrap();
    let report = Report { term: lease.term, seq: lease.seq, position: position(9_000) };
    record.reports.insert(name("us"), report);
    record.pause = Some(Pause { id: 1, for_ms: 1_000, by: "root".into(), reason: String::new() });
    let record = recovered(record, recovery("us", 0));
    assert!(record.reports.is_empty() && record.pause.is_none());
    let given_up = BTreeSet::from(["b", "c"].map(name));
    assert_eq!(record.branch, Branch { generation: 1, last: Some(7), given_up });
    assert_eq!(record.holder(), None);
}

#[test]
fn a_server_that_was_given_up_stays_out_until_a_person_lets_it_in() {
    let mut record = recovered(founded_by("other"), recovery("us", 0));
    let readmit = Request::Readmit { server: name("b") };
    record.apply(&readmit).unwrap();
    assert_eq!(record.branch.given_up, BTreeSet::from([name("c")]));
    assert_eq!(record.apply(&readmit), Err(Rejection::NotGivenUp { server: name("b") }));
    // A later recovery with a server that an earlier one gave up takes it back.
    let record = recovered(record, Recovery { given_up: BTreeSet::new(), ..recovery("other", 0) });
    assert_eq!((record.branch.generation, record.branch.given_up.len()), (2, 1));
}

#[test]
fn what_cannot_be_recovered_is_refused_and_changes_nothing() {
    let mut witness = founded_by("other");
    witness.members.insert(name("us"), Member { promotable: false, ..member() });
    let mut given_up = recovery("us", 0);
    given_up.given_up.insert(name("us"));
    let cases = [
        (founded_by("other"), recovery("nobody", 0), Rejection::UnknownMember { server: name("nobody") }),
        (witness, recovery("us", 0), Rejection::NotPromotable { server: name("us") }),
        (founded_by("other"), given_up, Rejection::OutOfBounds),
    ];
    for (mut record, recovery, rejection) in cases {
        let before = record.clone();
        assert_eq!(record.apply(&Request::Recover { recovery }), Err(rejection));
        assert_eq!(record, before);
    }
    let mut unfounded = ClusterRecord::default();
    unfounded.apply(&Request::Register { server: name("us"), member: member() }).unwrap();
    let refused = unfounded.apply(&Request::Recover { recovery: recovery("us", 0) });
    assert_eq!(refused, Err(Rejection::NotInitialized));
}
