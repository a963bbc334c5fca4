//! Going on without the store: who asks, who promises, and what a promise holds back.

use sb_failover::{AskId, Failsafe, FailsafeAnswer, FailsafeQuestion, FailsafeRefusal, Round};

use crate::bench::*;

fn with_failsafe(mut record: ClusterRecord) -> ClusterRecord {
    record.timings.failsafe = Failsafe::On;
    record
}

/// A primary that leads, and then hears nothing of the store any more.
fn cut_off() -> Bench {
    let mut bench = Bench::leader();
    bench.record = with_failsafe(founded_by("us"));
    let mut bench = bench.begin();
    bench.later(3_000);
    bench.is(State::Leading);
    bench.held.push("Propose");
    bench
}

fn asked(bench: &Bench) -> Vec<(Round, FailsafeQuestion)> {
    let rounds = bench.commands.iter().filter_map(|c| match c {
        Command::AskFailsafe { round, question, .. } => Some((*round, question.clone())),
        _ => None,
    });
    rounds.collect()
}

fn agree(bench: &mut Bench, round: Round, from: &str) {
    bench.tell(Event::FailsafeAnswered { round, from: name(from), answer: FailsafeAnswer::Yes });
}

#[test]
fn a_primary_whose_members_all_promise_goes_on_without_the_store() {
    let mut bench = cut_off();
    for _ in 0..200 {
        bench.later(50);
        if let Some((round, _)) = asked(&bench).last().cloned() {
            agree(&mut bench, round, "other");
        }
    }
    bench.is(State::Leading);
}

#[test]
fn what_the_promises_have_bridged_makes_the_lease_no_longer() {
    let mut bench = cut_off();
    for _ in 0..100 {
        bench.later(50);
        if let Some((round, _)) = asked(&bench).last().cloned() {
            agree(&mut bench, round, "other");
        }
    }
    bench.held.clear();
    bench.later(5_000);
    bench.is(State::Leading);
    let ttl = |c: &Command| match c {
        Command::Propose { request: Request::Renew { ttl_ms, .. }, .. } => Some(*ttl_ms),
        _ => None,
    };
    assert_eq!(bench.commands.iter().filter_map(ttl).max(), Some(3_500));
}

#[test]
fn without_an_answer_of_everybody_it_ends_with_its_lease() {
    let mut bench = cut_off();
    bench.later(4_000);
    assert!(!asked(&bench).is_empty());
    bench.took(State::Leading, Trigger::DeadlinePassed);
}

#[test]
fn a_refusal_is_not_a_yes() {
    let mut bench = cut_off();
    bench.later(1_500);
    let (round, _) = asked(&bench)[0].clone();
    let answer = FailsafeAnswer::No(FailsafeRefusal::Busy);
    bench.tell(Event::FailsafeAnswered { round, from: name("other"), answer });
    bench.later(3_000);
    bench.took(State::Leading, Trigger::DeadlinePassed);
}

#[test]
fn while_renewals_count_nobody_is_asked() {
    let mut bench = Bench::leader();
    bench.record = with_failsafe(founded_by("us"));
    let mut bench = bench.begin();
    bench.later(10_000);
    assert_eq!(asked(&bench), []);
}

#[test]
fn switched_off_nobody_is_asked() {
    let mut bench = Bench::leader().begin();
    bench.later(3_000);
    bench.held.push("Propose");
    bench.later(3_000);
    assert_eq!(asked(&bench), []);
}

/// A standby of `other`, with the question of its primary.
fn standby() -> (Bench, FailsafeQuestion) {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = with_failsafe(founded_by("other"));
    let bench = bench.begin();
    bench.is(State::Following);
    let question = FailsafeQuestion {
        holder: name("other"),
        incarnation: Incarnation::new(1),
        term: FIRST,
        seq: bench.seq(),
        admissions: 0,
        ttl_ms: 3_500,
        position: Some(position(1_000)),
    };
    (bench, question)
}

fn answers(bench: &Bench) -> Vec<FailsafeAnswer> {
    let answers = bench.commands.iter().filter_map(|c| match c {
        Command::AnswerFailsafe { answer, .. } => Some(answer.clone()),
        _ => None,
    });
    answers.collect()
}

fn ask(bench: &mut Bench, question: &FailsafeQuestion) -> FailsafeAnswer {
    bench.tell(Event::FailsafeAsked { ask: AskId::new(1), question: question.clone() });
    answers(bench).pop().expect("every question is answered")
}

#[test]
fn a_promise_is_stored_before_it_is_given_and_holds_an_election_back() {
    let (mut bench, question) = standby();
    bench.later(2_000);
    assert_eq!(ask(&mut bench, &question), FailsafeAnswer::Yes);
    assert!(bench.issued("StoreFailsafe")[0] < bench.issued("AnswerFailsafe")[0]);
    // Its own watch would let it freeze half a second later.
    bench.later(3_500);
    bench.is(State::Following);
    bench.later(200);
    assert_ne!(bench.machine.state(), State::Following);
}

#[test]
fn a_promise_that_cannot_be_stored_is_not_given() {
    let (mut bench, question) = standby();
    bench.failing.push("StoreFailsafe");
    assert_eq!(ask(&mut bench, &question), FailsafeAnswer::No(FailsafeRefusal::NotStored));
}

#[test]
fn a_member_that_is_about_to_freeze_promises_nothing() {
    let (mut bench, question) = standby();
    bench.held.push("StorePromise");
    bench.later(3_000);
    bench.is(State::Freezing);
    let refused = FailsafeRefusal::Promised { term: FIRST, seq: bench.seq() };
    assert_eq!(ask(&mut bench, &question), FailsafeAnswer::No(refused));
}

#[test]
fn a_member_that_knows_a_newer_primary_or_other_members_promises_nothing() {
    let (mut bench, question) = standby();
    let mut record = bench.record.clone();
    record.apply(&Request::Register { server: name("new"), member: member() }).unwrap();
    bench.show_record(record.clone());
    assert_eq!(ask(&mut bench, &question), FailsafeAnswer::No(FailsafeRefusal::NewerMembers));
    bench.show_record(deposed(founded_by("us")));
    let taken = FailsafeQuestion { admissions: 1, ..question };
    let refused = FailsafeRefusal::NotHolder { term: FIRST.next() };
    assert_eq!(ask(&mut bench, &taken), FailsafeAnswer::No(refused));
}

#[test]
fn a_server_that_no_renewal_has_known_cannot_take_over() {
    let mut record = founded_by("other");
    record.apply(&Request::Register { server: name("new"), member: member() }).unwrap();
    takes_over_only_after_a_renewal_that_knows_it(record, member());
}

/// What it promised in the life before is lost with its directories.
#[test]
fn a_server_that_has_lost_its_state_cannot_take_over_before_the_holder_knows() {
    let mut record = founded_by("other");
    record.apply(&Request::Register { server: name("new"), member: member() }).unwrap();
    record.strangers.clear();
    let another_life = Member { incarnation: Incarnation::new(2), ..member() };
    record.apply(&Request::Register { server: name("new"), member: another_life.clone() }).unwrap();
    takes_over_only_after_a_renewal_that_knows_it(record, another_life);
}

#[test]
fn a_server_that_registers_again_in_the_same_life_is_known() {
    let mut record = founded_by("other");
    let admissions = record.admissions;
    let moved = Member { priority: 7, ..member() };
    record.apply(&Request::Register { server: name("us"), member: moved }).unwrap();
    assert_eq!((record.admissions, record.strangers.len()), (admissions, 0));
}

fn takes_over_only_after_a_renewal_that_knows_it(mut record: ClusterRecord, new: Member) {
    let lease = record.lease.clone().unwrap();
    let mut takeover = Request::Takeover {
        by: name("new"),
        incarnation: new.incarnation,
        expect_term: lease.term,
        expect_seq: lease.seq,
        renewal: RenewalNumber::default(),
        ttl_ms: 3_500,
        position: position(1_000),
        proof: Proof::LagBound,
    };
    assert_eq!(record.apply(&takeover), Err(Rejection::Stranger { server: name("new") }));
    let renew = Request::Renew {
        holder: name("other"),
        incarnation: Incarnation::new(1),
        term: lease.term,
        renewal: RenewalNumber { session: Session::new(1), count: 1 },
        ttl_ms: 3_500,
        position: None,
        admissions: record.admissions,
    };
    record.apply(&renew).unwrap();
    if let Request::Takeover { expect_seq, .. } = &mut takeover {
        *expect_seq = lease.seq.next();
    }
    assert_eq!(record.apply(&takeover), Ok(()));
}

#[test]
fn the_holder_is_no_stranger_to_its_own_lease() {
    let mut record = founded_by("other");
    let again = Member { incarnation: Incarnation::new(2), ..member() };
    record.apply(&Request::Register { server: name("other"), member: again }).unwrap();
    assert!(record.strangers.is_empty(), "a lone server would have nobody to know it");
}

#[test]
fn a_candidate_is_held_to_the_position_that_it_was_told() {
    let (mut bench, question) = standby();
    let far = FailsafeQuestion { position: Some(position(1_000 + LAG_BYTES_MAX_DEFAULT + 1)), ..question };
    assert_eq!(ask(&mut bench, &far), FailsafeAnswer::Yes);
    bench.later(10_000);
    bench.is(State::Frozen);
    assert_eq!(bench.record.term(), FIRST, "too far behind what the primary told");
}
