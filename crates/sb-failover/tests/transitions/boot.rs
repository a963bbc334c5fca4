//! A start, and what the data directory says.

use crate::bench::*;

#[test]
fn another_clusters_data_is_left_alone() {
    let mut bench =
        Bench::new(Founding::Joiner, Phase::Standby, Role::Stopped, DataDirectory::Present(FOREIGN));
    bench.record = founded_by("other");
    let bench = bench.begin();
    bench.took(State::Starting, Trigger::WrongData);
    assert!(bench.machine.explain(bench.now).next.contains("systemctl restart sb-agent"));
}

#[test]
fn another_clusters_data_is_left_alone_when_the_record_comes_late() {
    let mut bench =
        Bench::new(Founding::Joiner, Phase::Standby, Role::Stopped, DataDirectory::Present(FOREIGN));
    bench.held.push("StartStandby");
    let mut bench = bench.begin();
    bench.is(State::Following);
    bench.show_record(founded_by("other"));
    bench.took(State::Following, Trigger::WrongData);
}

#[test]
fn a_founder_that_was_not_the_first_asks_for_a_person() {
    let founder = Founding::Founder {
        durability: Durability::Async,
        number: 0,
        lag_bytes_max: 1,
        automatic: Automatic::Allowed,
    };
    let bench = Bench::new(founder, Phase::Empty, Role::Stopped, DataDirectory::Absent);
    let mut bench = held(bench, &["InitDb"]).begin();
    bench.is(State::Initializing);
    bench.show_record(founded_by("other"));
    bench.took(State::Initializing, Trigger::WrongData);
}

#[test]
fn a_founder_waits_for_the_store_before_it_makes_a_database() {
    let founder = Founding::Founder {
        durability: Durability::Async,
        number: 0,
        lag_bytes_max: 1,
        automatic: Automatic::Allowed,
    };
    let mut bench = Bench::new(founder, Phase::Empty, Role::Stopped, DataDirectory::Absent);
    bench.tell(Event::Guard(bench.guard));
    bench.tell(Event::Postgres(bench.postgres.clone()));
    bench.later(2_000);
    bench.is(State::Waiting);
    bench.show();
    bench.took(State::Waiting, Trigger::MayFound);
    bench.is(State::Leading);
}

#[test]
fn a_writable_postgresql_without_a_deadline_is_killed_at_once() {
    let mut bench = Bench::joiner(Phase::Primary { term: FIRST }, Role::Primary);
    bench.record = founded_by("us");
    bench.begin().took(State::Starting, Trigger::FoundUnlawful);
}

#[test]
fn a_standby_that_turns_out_writable_is_killed_at_once() {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = founded_by("other");
    let mut bench = bench.begin();
    bench.postgres_is(Role::Primary);
    bench.tell(Event::Postgres(bench.postgres.clone()));
    bench.took(State::Following, Trigger::FoundUnlawful);
}

#[test]
fn a_holder_without_data_gives_the_lease_back() {
    let mut bench = Bench::new(Founding::Joiner, Phase::Empty, Role::Stopped, DataDirectory::Absent);
    bench.record = founded_by("us");
    let bench = bench.begin();
    bench.took(State::Waiting, Trigger::LeaseMineNoData);
    assert!(bench.record.lease.as_ref().unwrap().released.is_some());
}

#[test]
fn a_holder_in_the_middle_of_a_repair_gives_the_lease_back() {
    let mut bench = Bench::joiner(Phase::Repairing, Role::Stopped);
    bench.record = founded_by("us");
    bench.begin().took(State::Repairing, Trigger::LeaseMineNoData);
}

#[test]
fn a_holder_that_boots_goes_on_where_its_data_stands() {
    for (phase, trigger) in [
        (Phase::Primary { term: FIRST }, Trigger::LeaseMine),
        (Phase::Standby, Trigger::LeaseMineUnpromoted),
        (Phase::Promoting { term: FIRST }, Trigger::LeaseMineUnpromoted),
    ] {
        let mut bench = Bench::joiner(phase.clone(), Role::Stopped);
        bench.record = founded_by("us");
        let bench = bench.begin();
        bench.took(State::Starting, trigger);
        // Without the record it is a read-only standby first.
        let mut late = Bench::joiner(phase, Role::Stopped);
        late.tell(Event::Guard(late.guard));
        late.tell(Event::Postgres(late.postgres.clone()));
        late.later(2_000);
        late.is(State::Following);
        assert_eq!(late.postgres.role, Role::Standby);
        late.show_record(founded_by("us"));
        late.took(State::Following, trigger);
    }
}

#[test]
fn a_founder_whose_record_came_late_goes_back_to_founding() {
    let founder = Founding::Founder {
        durability: Durability::Async,
        number: 0,
        lag_bytes_max: 1,
        automatic: Automatic::Allowed,
    };
    let (phase, data) = (Phase::Primary { term: FIRST }, DataDirectory::Present(OURS));
    let mut bench = Bench::new(founder, phase, Role::Stopped, data);
    bench.tell(Event::Guard(bench.guard));
    bench.tell(Event::Postgres(bench.postgres.clone()));
    bench.later(2_000);
    bench.is(State::Following);
    bench.show();
    bench.later(2_000);
    bench.took(State::Following, Trigger::MayFound);
    bench.is(State::Leading);
    // Its data has been in recovery meanwhile, so it goes on in a term of its own.
    assert_eq!(bench.record.term(), FIRST.next());
}

/// A standby whose starts come to nothing, and whose log says that they always will.
fn cannot_start() -> Bench {
    let mut bench = Bench::joiner(Phase::Standby, Role::Stopped);
    bench.record = founded_by("other");
    bench.failing.push("StartStandby");
    let mut bench = held(bench, &["Repair"]).begin();
    bench.later(400);
    bench.is(State::Following);
    the_other_renews(&mut bench);
    bench.postgres.broken = Some(Broken::CannotStart);
    bench
}

fn the_other_renews(bench: &mut Bench) {
    bench.record.apply(&first_renewal_of("other")).unwrap();
    bench.show();
}

#[test]
fn a_copy_that_cannot_start_is_repaired_once() {
    let mut bench = cannot_start();
    bench.tell(Event::Postgres(bench.postgres.clone()));
    bench.took(State::Following, Trigger::CopyUnsound);
    bench.later(1_000);
    let repair = bench.commands.last().unwrap().clone();
    let Command::Repair { source, reason, .. } = &repair else { panic!("{repair:?}") };
    assert_eq!((source, *reason), (&name("other"), RepairReason::CannotStart));

    bench.held.clear();
    bench.failing.clear();
    bench.postgres.broken = None;
    bench.finish(&repair);
    bench.later(1_000);
    bench.is(State::Following);
    assert_eq!(bench.postgres.role, Role::Standby);
    assert_eq!(bench.issued("Repair").len(), 1);
}

#[test]
fn a_copy_that_cannot_start_is_kept_while_no_primary_is_seen() {
    let mut bench = cannot_start();
    let silence = 2 * bench.record.timings.renew_ms + 100;
    bench.later(silence);
    bench.tell(Event::Postgres(bench.postgres.clone()));
    bench.later(60_000);
    assert!(bench.issued("Repair").is_empty());
    assert!(bench.issued("StartStandby").len() > 1, "it is tried again");
}

/// A copy of ours on a promotion that the replayed record does not know, and the holder of that record renews.
fn beyond_the_record(phase: Phase) -> Bench {
    let mut bench = Bench::joiner(phase, Role::Standby);
    bench.record = founded_by("other");
    let promoted = Lineage::first().forked(Lsn::new(1_000), TimelineId::try_from(2).unwrap()).unwrap();
    bench.postgres.position = Some(Position { lineage: promoted, flushed: Lsn::new(1_100) });
    let mut bench = held(bench, &["Repair"]).begin();
    bench.later(400);
    bench.is(State::Following);
    the_other_renews(&mut bench);
    bench
}

#[test]
fn what_a_start_replays_does_not_condemn_a_copy_that_is_beyond_it_and_a_renewal_does() {
    beyond_the_record(Phase::Standby).is(State::Repairing);
}

#[test]
fn a_copy_that_was_promoted_in_a_later_term_than_the_record_shows_is_kept() {
    let bench = beyond_the_record(Phase::Primary { term: FIRST.next() });
    bench.is(State::Following);
    assert!(bench.issued("Persist").is_empty());
}
