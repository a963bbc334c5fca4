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

/// An agent that was killed twice: the record that the second start replays is older than a shrink of the first run. Clients
/// are in, so what PostgreSQL waits for stays as it is until the record has a renewal of this run.
#[test]
fn an_adopted_primary_leaves_its_set_alone_until_the_record_is_of_this_run() {
    let mut bench = Bench::joiner(Phase::Primary { term: FIRST }, Role::Primary);
    bench.record = synchronous("us", &["b", "c"]);
    let fence_at = bench.now + Duration::from_millis(2_500);
    bench.guard.armed = Some(Armed { term: FIRST, fence_at });
    streams(&mut bench, &["b", "c"]);
    let mut bench = held(bench, &["Propose"]).begin();
    bench.is(State::Reopening);
    bench.later(300);
    let shrunk = bench.record.sync.with_voters([name("b")].into(), 0);
    bench.record.sync = shrunk;
    bench.show();
    bench.later(300);
    assert!(bench.commands.iter().all(|c| waits_for(c).is_none() && set_sync(c).is_none()));

    bench.held.clear();
    bench.later(1_500);
    bench.is(State::Leading);
    let voided =
        bench.commands.iter().position(|c| set_sync(c).is_some_and(|(e, s)| *s == e.voided())).unwrap();
    let first = bench.commands.iter().position(|c| waits_for(c).is_some()).unwrap();
    assert!(voided < first, "{:?}", bench.commands);
    assert_eq!(waits_for(&bench.commands[first]).unwrap(), ["b"]);
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

/// `us` leads with V = {b, c} and both streaming.
fn settled() -> Bench {
    let mut bench = Bench::leader();
    bench.record = synchronous("us", &["b", "c"]);
    streams(&mut bench, &["b", "c"]);
    let mut bench = bench.begin();
    bench.postgres_is(Role::Primary);
    streams(&mut bench, &["b", "c"]);
    bench.later(2_000);
    bench.is(State::Leading);
    bench
}

fn set_sync(command: &Command) -> Option<(&SyncRecord, &SyncRecord)> {
    match command {
        Command::Propose { request: Request::SetSync { expect, sync, .. }, .. } => Some((expect, sync)),
        _ => None,
    }
}

fn waits_for(command: &Command) -> Option<Vec<String>> {
    match command {
        Command::SetSyncStandbys { sync, .. } => Some(sync.names.iter().map(ToString::to_string).collect()),
        _ => None,
    }
}

#[test]
fn a_shrink_that_may_come_late_is_voided_before_the_set_grows_back() {
    let mut bench = settled();
    streams(&mut bench, &["c"]);
    bench.later(10_500);
    let mut bench = held(bench, &["Propose"]);
    streams(&mut bench, &["c"]);
    assert_eq!(bench.commands.iter().rev().find_map(waits_for).unwrap(), ["c"]);
    bench.later(100);
    streams(&mut bench, &["c"]);
    let shrink = bench.commands.last().unwrap().clone();
    assert_eq!(set_sync(&shrink).unwrap().1.voters.len(), 1, "{shrink:?}");
    let Command::Propose { id, request } = shrink else { unreachable!() };

    // The answer is lost, and b is back.
    bench.tell(Event::ProposalDone { id, result: ProposalResult::Ambiguous });
    bench.held.clear();
    let before = bench.commands.len();
    streams(&mut bench, &["b", "c"]);
    bench.later(1_000);
    let since = &bench.commands[before..];
    let voided = since.iter().position(|c| set_sync(c).is_some_and(|(e, s)| *s == e.voided())).unwrap();
    let grown = since.iter().position(|c| waits_for(c).is_some_and(|names| names == ["b", "c"])).unwrap();
    assert!(voided < grown, "{since:?}");
    assert_eq!(bench.record.apply(&request), Err(Rejection::SyncStep), "what was lost comes now");
}

/// It is started with the voters that it knows, and they may be fewer by now: what one of those confirms that have
/// left, no election would look for.
#[test]
fn a_restarted_primary_voids_what_may_come_late_before_clients_are_in() {
    let mut bench = settled();
    streams(&mut bench, &["c"]);
    bench.later(10_500);
    let mut bench = held(bench, &["Propose"]);
    streams(&mut bench, &["c"]);
    bench.later(100);
    streams(&mut bench, &["c"]);
    let shrink = bench.commands.last().unwrap().clone();
    assert_eq!(set_sync(&shrink).unwrap().1.voters.len(), 1, "{shrink:?}");
    let Command::Propose { id, request } = shrink else { unreachable!() };
    bench.tell(Event::ProposalDone { id, result: ProposalResult::Ambiguous });

    let before = bench.commands.len();
    bench.crash();
    bench.held.clear();
    let held: Vec<_> = bench.commands.iter().filter(|c| set_sync(c).is_some()).cloned().collect();
    for command in held {
        let Command::Propose { id, .. } = command else { unreachable!() };
        bench.tell(Event::ProposalDone { id, result: ProposalResult::Ambiguous });
    }
    for _ in 0..6 {
        streams(&mut bench, &["b", "c"]);
        bench.later(500);
    }
    bench.is(State::Leading);
    let since = &bench.commands[before..];
    let voided = since.iter().position(|c| set_sync(c).is_some_and(|(e, s)| *s == e.voided())).unwrap();
    let opened = since.iter().position(|c| c.name() == "OpenClients").unwrap();
    assert!(voided < opened, "{since:?}");
    assert_eq!(bench.record.apply(&request), Err(Rejection::SyncStep), "what was lost comes now");
}

#[test]
fn sync_falls_back_on_record_before_commits_stop_waiting() {
    let mut bench = settled();
    bench.record.sync.durability = Durability::Sync;
    bench.record.sync.wanted = Durability::Sync;
    bench.show();
    let mut before = bench.commands.len();
    streams(&mut bench, &[]);
    bench.later(9_000);
    streams(&mut bench, &[]);
    assert!(bench.commands[before..].iter().all(|c| set_sync(c).is_none()), "too early");
    bench.later(1_500);
    streams(&mut bench, &[]);
    bench.later(1_000);
    assert!(bench.record.sync.degraded);
    assert_eq!(bench.record.sync.silent.len(), 2);
    let since = &bench.commands[before..];
    let recorded = since.iter().position(|c| set_sync(c).is_some()).unwrap();
    let relaxed = since.iter().position(|c| waits_for(c).is_some_and(|names| names.is_empty())).unwrap();
    assert!(recorded < relaxed, "{since:?}");
    bench.is(State::Leading);

    before = bench.commands.len();
    streams(&mut bench, &["b", "c"]);
    bench.later(500);
    streams(&mut bench, &["b", "c"]);
    bench.later(500);
    assert!(!bench.record.sync.degraded);
    let since = &bench.commands[before..];
    let waited = since.iter().position(|c| waits_for(c).is_some()).unwrap();
    let formed = since.iter().position(|c| set_sync(c).is_some()).unwrap();
    assert!(waited < formed, "{since:?}");
}

#[test]
fn strict_does_not_fall_back() {
    let mut bench = settled();
    let before = bench.commands.len();
    for _ in 0..40 {
        streams(&mut bench, &[]);
        bench.later(500);
    }
    assert!(!bench.record.sync.degraded);
    assert!(bench.commands[before..].iter().all(|c| waits_for(c).is_none_or(|names| !names.is_empty())));
}

#[test]
fn without_the_store_nothing_falls_back() {
    let mut bench = settled();
    bench.record.sync.durability = Durability::Sync;
    bench.record.sync.wanted = Durability::Sync;
    bench.show();
    let before = bench.commands.len();
    let mut bench = held(bench, &["Propose"]);
    for _ in 0..30 {
        streams(&mut bench, &[]);
        bench.later(500);
    }
    assert!(bench.commands[before..].iter().all(|c| waits_for(c).is_none_or(|names| !names.is_empty())));
}

/// Leaves with what is effective, and only when enough of the rest have passed the barrier.
#[test]
fn a_voter_leaves_when_the_rest_have_passed_the_barrier() {
    let mut bench = settled();
    streams(&mut bench, &["c"]);
    bench.later(10_500);
    // The log has moved on since, and c has not flushed that.
    bench.postgres.position = Some(position(2_000_000));
    streams(&mut bench, &["c"]);
    streams(&mut bench, &["c"]);
    assert_eq!(bench.commands.iter().rev().find_map(waits_for).unwrap(), ["c"]);
    assert_eq!(voters(&bench), ["b", "c"]);
    let flushed = Lsn::new(2_000_000);
    bench.postgres.followers = vec![Follower { server: name("c"), flushed, streaming: true }];
    bench.tell(Event::Postgres(bench.postgres.clone()));
    assert_eq!(voters(&bench), ["c"]);
}

fn ask_for(bench: &mut Bench, durability: Durability, number: usize) -> usize {
    bench.record.apply(&Request::SetDurability { durability, number }).unwrap();
    let before = bench.commands.len();
    bench.show();
    for _ in 0..4 {
        streams(bench, &["b", "c"]);
        bench.later(500);
    }
    before
}

#[test]
fn less_durability_holds_at_once_and_postgresql_follows() {
    let mut bench = settled();
    let before = ask_for(&mut bench, Durability::Async, 0);
    assert_eq!((bench.record.sync.durability, bench.record.sync.voters.len()), (Durability::Async, 0));
    let set: Vec<_> = bench.commands[before..].iter().filter_map(waits_for).collect();
    assert_eq!(set, [Vec::<String>::new()]);
    bench.is(State::Leading);
}

#[test]
fn more_durability_holds_when_postgresql_keeps_it() {
    let mut bench = settled();
    ask_for(&mut bench, Durability::Async, 0);
    let before = ask_for(&mut bench, Durability::Strict, 2);
    let since = &bench.commands[before..];
    let waited = since.iter().position(|c| waits_for(c).is_some_and(|names| names == ["b", "c"])).unwrap();
    let recorded = since.iter().position(|c| set_sync(c).is_some()).unwrap();
    assert!(waited < recorded, "{since:?}");
    let sync = &bench.record.sync;
    assert_eq!((sync.durability, sync.quorum, sync.counted_on()), (Durability::Strict, 0, 2));
}

#[test]
fn the_promise_does_not_change_under_an_election() {
    let mut bench = settled();
    let lease = bench.record.lease.clone().unwrap();
    let (server, incarnation) = (name("b"), Incarnation::new(1));
    let (term, seq) = (lease.term, lease.seq);
    let report = Request::Report { server, incarnation, term, seq, position: position(900) };
    bench.record.apply(&report).unwrap();
    let asked = bench.record.apply(&Request::SetDurability { durability: Durability::Async, number: 0 });
    assert_eq!(asked, Err(Rejection::ElectionUnderWay));
}

#[test]
fn nobody_is_promised_more_servers_than_there_are() {
    let mut record = synchronous("us", &["b"]);
    let asked = record.apply(&Request::SetDurability { durability: Durability::Strict, number: 5 });
    assert_eq!(asked, Err(Rejection::TooFewEligible { have: 3, need: 5 }));
}

#[test]
fn sync_falls_back_when_a_larger_promise_is_not_reached() {
    let mut bench = settled();
    bench.record.apply(&Request::SetDurability { durability: Durability::Sync, number: 2 }).unwrap();
    // Commits wait for two from here on, and only b has flushed what was there.
    bench.postgres.position = Some(position(2_000_000));
    let flushed = |flushed| Lsn::new(flushed);
    let follower = |server, at| Follower { server: name(server), flushed: flushed(at), streaming: true };
    for _ in 0..30 {
        bench.postgres.followers = vec![follower("b", 2_000_000), follower("c", 1_000_000)];
        bench.show();
        bench.tell(Event::Postgres(bench.postgres.clone()));
        bench.later(500);
    }
    assert!(bench.commands.iter().any(|c| matches!(
        c,
        Command::SetSyncStandbys { sync, .. } if sync.number == 2
    )));
    assert!(bench.record.sync.degraded);
    assert_eq!(bench.record.sync.silent, [name("c")].into());
}
