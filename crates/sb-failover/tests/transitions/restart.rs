//! A primary that has to come back.

use crate::bench::*;

#[test]
fn an_old_primary_goes_from_standby_to_primary_only_through_a_new_term() {
    let bench = Bench::leader();
    let mut bench = held(bench, &["Propose"]).begin();
    bench.later(60_000);
    // Without the store it serves reads.
    bench.is(State::Restarting);
    assert_eq!(bench.postgres.role, Role::Standby);
    bench.held.clear();
    bench.later(12_000);
    bench.took(State::Restarting, Trigger::RestartFailed);
    bench.took(State::Releasing, Trigger::GivenBack);
    bench.is(State::Leading);
    assert_eq!(bench.record.term(), FIRST.next());
    assert!(bench.issued("StartPrimary").is_empty());
}

/// L1, R7: the record that a boot replays may be old, so it is no right to write.
#[test]
fn a_primary_that_boots_starts_only_after_its_own_renewal_was_applied() {
    let mut bench = held(Bench::leader(), &["Propose"]).begin();
    bench.is(State::Restarting);
    bench.later(3_000);
    assert!(bench.issued("StartPrimary").is_empty());
    bench.held.clear();
    bench.later(1_000);
    bench.is(State::Leading);
    let renewed = bench.commands.iter().position(|c| match c {
        Command::Propose { request: Request::Renew { renewal, .. }, .. } => {
            bench.record.lease.as_ref().unwrap().renewal.session == renewal.session
        }
        _ => false,
    });
    assert!(renewed.unwrap() < bench.issued("StartPrimary")[0]);
}

#[test]
fn a_primary_that_boots_with_a_stale_record_never_starts_when_its_renewal_is_refused() {
    let mut bench = held(Bench::leader(), &["Propose"]).begin();
    bench.is(State::Restarting);
    let refused: Vec<_> = bench
        .commands
        .iter()
        .filter_map(|c| match c {
            Command::Propose { id, request: Request::Renew { .. } } => Some(*id),
            _ => None,
        })
        .collect();
    let newer = deposed(bench.record.clone());
    let lease = newer.lease.clone().unwrap();
    for id in refused {
        let why = Rejection::LeaseMoved { term: lease.term, seq: lease.seq };
        bench.tell(Event::ProposalDone { id, result: ProposalResult::Rejected(why) });
    }
    bench.later(2_000);
    bench.is(State::Restarting);
    bench.show_record(newer);
    bench.took(State::Restarting, Trigger::Deposed);
    assert!(bench.issued("StartPrimary").is_empty());
}

#[test]
fn a_primary_that_cannot_be_restarted_gives_the_lease_back() {
    let mut bench = Bench::leader();
    bench.failing.push("StartPrimary");
    let mut bench = bench.begin();
    bench.later(6_000);
    bench.took(State::Restarting, Trigger::RestartFailed);
    bench.took(State::Releasing, Trigger::GivenBack);
}

fn reopening() -> Bench {
    let bench = held(Bench::leader(), &["OpenClients"]).begin();
    bench.is(State::Reopening);
    bench
}

#[test]
fn a_primary_that_crashes_before_clients_are_in_is_restarted() {
    let mut bench = reopening();
    bench.crash();
    bench.took(State::Reopening, Trigger::PostgresGone);
}

#[test]
fn a_restarted_primary_is_killed_when_another_server_has_the_lease() {
    let mut bench = reopening();
    bench.show_record(deposed(bench.record.clone()));
    bench.took(State::Reopening, Trigger::Deposed);
}

/// R8. A takeover that was proposed before the repair began may be applied in the middle of it.
#[test]
fn a_half_made_copy_is_not_started_after_a_late_lease_was_given_back() {
    let mut bench = Bench::joiner(Phase::Repairing, Role::Stopped);
    bench.record = founded_by("us");
    let mut bench = bench.begin();
    bench.later(3_000);
    bench.took(State::Repairing, Trigger::LeaseMineNoData);
    bench.took(State::Releasing, Trigger::GivenBack);
    bench.is(State::Repairing);
    assert!(bench.issued("StartStandby").is_empty());
}
