//! R6: a set whose members do not answer gives way to those that stream, and clients come in.

use crate::bench::*;

fn streams(bench: &mut Bench, servers: &[&str]) {
    let flushed = Lsn::new(1_000_000);
    bench.postgres.followers =
        servers.iter().map(|s| Follower { server: name(s), flushed, streaming: true }).collect();
    bench.tell(Event::Postgres(bench.postgres.clone()));
}

fn voters(bench: &Bench) -> Vec<String> {
    bench.record.sync.voters.iter().map(ToString::to_string).collect()
}

/// `us` holds `FIRST` with V = {b}; b never comes back, c streams.
fn restarted() -> Bench {
    let mut bench = Bench::leader();
    bench.record = synchronous("us", &["b"]);
    let mut bench = bench.begin();
    bench.is(State::Reopening);
    bench.later(2_000);
    bench.is(State::Reopening);
    bench
}

#[test]
fn a_restarted_primary_lets_another_standby_join_when_its_voter_is_gone() {
    let mut bench = restarted();
    assert_eq!(bench.issued("OpenClients"), [0; 0]);
    streams(&mut bench, &["c"]);
    bench.later(2_000);
    bench.is(State::Leading);
    assert_eq!(voters(&bench), ["b", "c"]);
    assert_eq!(bench.record.sync.quorum, 1);
}

#[test]
fn an_adopted_primary_lets_another_standby_join_when_its_voter_is_gone() {
    let mut bench = Bench::joiner(Phase::Primary { term: FIRST }, Role::Primary);
    bench.record = synchronous("us", &["b"]);
    let fence_at = bench.now + Duration::from_millis(2_500);
    bench.guard.armed = Some(Armed { term: FIRST, fence_at });
    streams(&mut bench, &["c"]);
    let mut bench = bench.begin();
    bench.took(State::Starting, Trigger::Adopted);
    bench.later(3_000);
    bench.is(State::Leading);
    assert_eq!(voters(&bench), ["b", "c"]);
}

/// `us` has won the second term from `other`, whose V is {b, c}; b was the witness.
fn won() -> Bench {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = synchronous("other", &["us", "b"]);
    bench.begin()
}

fn win(bench: &mut Bench, witness: &str) {
    let lease = bench.record.lease.clone().unwrap();
    let report = Request::Report {
        server: name(witness),
        incarnation: Incarnation::new(1),
        term: lease.term,
        seq: lease.seq,
        position: position(900),
    };
    bench.record.apply(&report).unwrap();
    bench.show();
    bench.later(6_000);
}

#[test]
fn a_new_primary_does_not_wait_for_a_witness_that_died() {
    let mut bench = won();
    win(&mut bench, "b");
    bench.is(State::Recording);
    streams(&mut bench, &["c"]);
    bench.later(3_000);
    bench.is(State::Leading);
    assert_eq!(voters(&bench), ["c"]);
}

#[test]
fn a_new_primary_makes_sure_of_its_set_before_clients_are_in() {
    let mut bench = won();
    win(&mut bench, "b");
    streams(&mut bench, &["b", "c"]);
    bench.later(3_000);
    bench.is(State::Leading);
    let (promoted, opened) = (bench.issued("Promote")[0], bench.issued("OpenClients")[0]);
    let set = bench.issued("SetSyncStandbys");
    assert!(set.iter().any(|at| promoted < *at && *at < opened), "{set:?}");
}

#[test]
fn without_a_promise_to_others_no_set_is_looked_at() {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = won_by_us();
    let mut bench = bench.begin();
    bench.later(1_000);
    bench.is(State::Leading);
    assert!(bench.issued("SetSyncStandbys").is_empty());
}
