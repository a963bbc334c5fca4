//! Rules broken on purpose. A simulation that does not see them proves nothing about the rules.

use sb_failover::mutant::Mutant;
use sb_failover::record::Durability;

use crate::profile::Profile;
use crate::run;

/// Runs schedules until one of the invariants that must see it does; gives how many it took and which did.
fn caught_within(profile: Profile, mutant: Mutant, schedules_max: u64, by: &[&str]) -> (u64, &'static str) {
    let profile = profile.with(mutant);
    for seed in 0..schedules_max {
        match run(1_000_000 + seed, &profile) {
            (Some(violation), _) if by.contains(&violation.invariant) => {
                return (seed + 1, violation.invariant);
            }
            (Some(_) | None, _) => {}
        }
    }
    panic!("{mutant:?} was not caught within {schedules_max} schedules");
}

fn must_be_caught(durability: Durability, mutant: Mutant, schedules_max: u64, by: &[&str]) {
    let (schedules, invariant) = caught_within(Profile::adversarial(durability), mutant, schedules_max, by);
    crate::say(&format!(
        "{mutant:?}: caught by {invariant} in schedule {schedules} of at most {schedules_max}"
    ));
}

const TWO_PRIMARIES: &[&str] = &["one_writer", "fenced_before_promote"];
const LOST: &[&str] = &["no_lost_acknowledged_commit"];

#[test]
fn counting_the_lease_from_the_answer_is_caught() {
    must_be_caught(Durability::Async, Mutant::CountFromReceipt, 200, TWO_PRIMARIES);
}

#[test]
fn waiting_without_a_margin_for_drift_is_caught() {
    must_be_caught(Durability::Async, Mutant::NoDriftMargin, 200, TWO_PRIMARIES);
}

#[test]
fn a_takeover_that_does_not_name_the_last_renewal_is_caught() {
    must_be_caught(Durability::Async, Mutant::NoCompareAndSet, 1_000, TWO_PRIMARIES);
}

#[test]
fn a_missing_guard_is_caught() {
    must_be_caught(Durability::Async, Mutant::NoGuard, 50, TWO_PRIMARIES);
}

#[test]
fn reporting_without_freezing_is_caught() {
    must_be_caught(Durability::Sync, Mutant::NoFreeze, 200, LOST);
}

#[test]
fn a_shorter_lease_proposed_without_lowering_the_deadline_is_caught() {
    must_be_caught(Durability::Async, Mutant::ShortenWithoutLowering, 1_000, TWO_PRIMARIES);
}

#[test]
fn a_quorum_that_is_one_too_small_is_caught() {
    must_be_caught(Durability::Sync, Mutant::QuorumTooSmall, 200, LOST);
}

#[test]
fn settling_a_set_that_has_not_passed_the_barrier_is_caught() {
    must_be_caught(Durability::Sync, Mutant::SettleUnflushed, 2_000, LOST);
}

fn failsafe_must_catch(mutant: Mutant, schedules_max: u64) {
    let profile = Profile::adversarial(Durability::Async).failsafe();
    let (schedules, invariant) = caught_within(profile, mutant, schedules_max, TWO_PRIMARIES);
    crate::say(&format!(
        "{mutant:?}: caught by {invariant} in schedule {schedules} of at most {schedules_max}"
    ));
}

#[test]
fn a_promise_to_the_holder_that_is_not_stored_is_caught() {
    failsafe_must_catch(Mutant::FailsafeNotStored, 200);
}

#[test]
fn counting_the_failsafe_from_the_answers_is_caught() {
    failsafe_must_catch(Mutant::FailsafeFromAnswers, 500);
}

#[test]
fn a_majority_instead_of_everybody_is_caught() {
    failsafe_must_catch(Mutant::FailsafeMajority, 500);
}

#[test]
fn a_frozen_member_that_says_yes_is_caught() {
    failsafe_must_catch(Mutant::FailsafeFrozenAgrees, 2_000);
}
