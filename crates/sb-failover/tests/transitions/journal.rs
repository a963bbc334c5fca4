//! What is written down, and when: a check of who may write goes by it.

use crate::bench::*;

#[test]
fn clients_are_announced_before_they_are_let_in() {
    let bench = held(Bench::leader(), &["OpenClients"]).begin();
    bench.is(State::Reopening);
    let opening = JournalEntry::Opening { term: FIRST };
    let announced = bench.told.iter().find(|(_, entry)| *entry == opening).map(|(before, _)| *before);
    assert_eq!(announced, bench.issued("OpenClients").first().copied());
    let open = JournalEntry::Open { term: FIRST };
    assert!(!bench.told.iter().any(|(_, entry)| *entry == open), "it is not confirmed yet");
}

#[test]
fn a_repaired_server_says_whom_it_follows() {
    let mut bench = Bench::joiner(Phase::Repairing, Role::Stopped);
    bench.record = founded_by("other");
    let bench = bench.begin();
    bench.is(State::Following);
    let following = JournalEntry::Following { upstream: name("other"), term: FIRST };
    let told: Vec<_> =
        bench.told.iter().filter(|(_, entry)| *entry == following).map(|(at, _)| *at).collect();
    assert_eq!(told, bench.issued("StartStandby"), "once, before it is started");
}

#[test]
fn a_deadline_that_passed_is_told_with_its_moment_and_the_end_of_the_lease() {
    let mut bench = Bench::leader().begin();
    bench.is(State::Leading);
    bench.held.push("Propose");
    bench.later(4_000);
    bench.took(State::Leading, Trigger::DeadlinePassed);
    let passed = bench.told.iter().find_map(|(_, entry)| match entry {
        JournalEntry::DeadlinePassed { term, ago_ms, lead_ms } => Some((*term, *ago_ms, *lead_ms)),
        _ => None,
    });
    let (term, ago_ms, lead_ms) = passed.expect("it is told");
    // The machine asks to be called at the deadline; this bench calls every 50 ms.
    assert!(ago_ms < 50, "{ago_ms} ms");
    assert_eq!((term, lead_ms), (FIRST, Timings::default().fence_lead_ms));
}

#[test]
fn a_claim_says_what_the_winner_lacks_of_the_old_primarys_last_word() {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = founded_by("other");
    bench.record.position = Some(position(1_040));
    let mut bench = bench.begin();
    bench.later(8_000);
    assert_eq!(bench.record.holder(), Some(&name("us")));
    let claim = bench.told.iter().find_map(|(_, entry)| match entry {
        JournalEntry::Claiming { term, own, told, missing_bytes, silent_ms } => {
            Some((*term, own.clone(), told.clone(), *missing_bytes, *silent_ms))
        }
        _ => None,
    });
    let (term, own, told, missing_bytes, silent_ms) = claim.expect("it is told");
    assert_eq!((term, own, told), (FIRST.next(), position(1_000), Some(position(1_040))));
    assert_eq!(missing_bytes, Some(40));
    assert!(silent_ms >= Timings::default().ttl_ms, "{silent_ms} ms");
}
