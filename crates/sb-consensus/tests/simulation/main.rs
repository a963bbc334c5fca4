//! Whole groups of replicas in one thread: a seeded network that loses, delays, repeats and reorders, crashes,
//! partitions. A client is the oracle. The same seed gives the same run.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod model;
#[path = "../support/mod.rs"]
mod support;

use model::{HEARTBEAT_TICKS, Node, Simulation, id};
use rand::Rng;
use sb_consensus::replica::{Event, MemoryDisk, Message, ReplicaSettings};
use sb_consensus::{MembershipChange, Role};
use support::{Machine, Request};

/// A minute of faults, then peace: nothing is lost or doubled, and work goes on.
fn ordeal(seed: u64, count: u64) -> Simulation {
    let mut simulation = Simulation::new(seed, count);
    simulation.until("the first leader", |s| s.leader().is_some());
    simulation.grow();
    strain(&mut simulation, 40);
    rest(&mut simulation);
    simulation
}

/// Faults, with requests and reads all the time.
fn strain(simulation: &mut Simulation, faults: usize) {
    for _ in 0..faults {
        simulation.disturb();
        for _ in 0..5 {
            let at = simulation.rng.random_range(0..simulation.servers.len());
            simulation.propose(at);
            let at = simulation.rng.random_range(0..simulation.servers.len());
            simulation.read(at);
            let pause_ms = simulation.rng.random_range(20..400);
            simulation.run(pause_ms);
        }
        simulation.check();
    }
}

/// Peace: every request is answered, and everybody catches up.
fn rest(simulation: &mut Simulation) {
    simulation.heal();
    simulation.until("peace", |s| s.servers.iter().all(|s| s.asked.is_empty() && s.reading.is_empty()));
    let leader = simulation.leader().unwrap();
    let answered = simulation.answered.len();
    simulation.propose(leader);
    simulation.until("the last request", |s| s.answered.len() > answered);
    let index = simulation.node(leader).view().index;
    simulation
        .until("everybody catching up", |s| (0..s.servers.len()).all(|at| s.node(at).view().index >= index));
    simulation.check();
    let end = &simulation.node(leader).view().view.words;
    assert_eq!(*end, simulation.longest, "what was applied before a crash is there after it");
}

#[test]
fn nothing_is_lost_or_doubled_through_crashes_cuts_and_full_disks() {
    let (mut answered, mut reads) = (0, 0);
    for seed in 0..12 {
        let run = std::panic::catch_unwind(|| ordeal(seed, if seed % 2 == 0 { 3 } else { 5 }));
        let Ok(simulation) = run else { panic!("failed with seed {seed}") };
        answered += simulation.answered.len();
        reads += simulation.reads;
    }
    assert!(
        answered > 500 && reads > 500,
        "the schedules left room for {answered} answers and {reads} reads only"
    );
}

/// One server after the other loses its directory in the middle of everything.
fn wiping(seed: u64) {
    let mut simulation = Simulation::new(seed, 3);
    simulation.until("the first leader", |s| s.leader().is_some());
    simulation.grow();
    for _ in 0..4 {
        strain(&mut simulation, 6);
        let at = simulation.rng.random_range(0..3);
        simulation.wipe(at);
        strain(&mut simulation, 3);
        simulation.heal();
        simulation.grow();
        rest(&mut simulation);
    }
}

#[test]
fn a_server_that_lost_its_directory_forgets_nothing_for_the_group() {
    // Seed 18: the only voter left of an older membership must still know that a newer one was committed.
    for seed in (0..8).chain([18]) {
        assert!(std::panic::catch_unwind(|| wiping(seed)).is_ok(), "failed with seed {seed}");
    }
}

#[test]
fn a_fresh_seed_finds_nothing_either() {
    let seed: u64 = rand::random();
    let run = std::panic::catch_unwind(|| ordeal(seed, 5));
    assert!(run.is_ok(), "failed with seed {seed}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    assert_eq!(ordeal(7, 3).trace, ordeal(7, 3).trace);
    assert_ne!(ordeal(7, 3).trace, ordeal(8, 3).trace);
}

#[test]
fn a_server_without_a_group_never_stands_for_election() {
    let mut simulation = Simulation::new(1, 2);
    simulation.run(30_000);
    assert_eq!(simulation.node(1).health().role, Role::Outsider);
    assert_eq!(simulation.node(1).health().raft_term, 0);
}

#[test]
fn a_leader_that_is_cut_off_steps_down() {
    let mut simulation = Simulation::new(3, 3);
    simulation.until("the first leader", |s| s.leader().is_some());
    simulation.grow();
    let old = simulation.leader().unwrap();
    for n in 1..=3 {
        simulation.cut.insert((id(n), id(old as u64 + 1)));
        simulation.cut.insert((id(old as u64 + 1), id(n)));
    }
    let cut_at = simulation.now_ms;
    simulation.until("stepping down", |s| !s.node(old).is_leader());
    simulation.until("a new leader", |s| s.leader().is_some());
    let outage_ms = simulation.now_ms - cut_at;
    assert!(outage_ms < 4_000, "the group was without a leader for {outage_ms} ms");
}

#[test]
fn a_leader_that_leaves_hands_over_first() {
    let mut simulation = Simulation::new(5, 3);
    simulation.until("the first leader", |s| s.leader().is_some());
    simulation.grow();
    let old = simulation.servers[simulation.leader().unwrap()].member.id;
    simulation.change(&MembershipChange::Remove(old), |node| node.membership().get(old).is_none());
    assert_ne!(simulation.servers[simulation.leader().unwrap()].member.id, old);
    assert_eq!(simulation.node(simulation.leader().unwrap()).membership().voters().len(), 2);
}

/// While Raft waits for a successor it refuses every request, for as long as an election lasts.
#[test]
fn a_leader_does_not_wait_for_a_successor_that_is_gone() {
    let mut simulation = Simulation::new(11, 3);
    simulation.until("the first leader", |s| s.leader().is_some());
    simulation.grow();
    let leader = simulation.leader().unwrap();
    let gone = (leader + 1) % 3;
    simulation.crash(gone);
    simulation.run(600);
    let (successor, others) = (simulation.servers[gone].member.id, 3 - leader - gone);
    for at in [leader, others] {
        let node = simulation.servers[at].node.as_mut().unwrap();
        node.transfer_leadership(successor);
        simulation.settle(at);
    }
    simulation.run(100);
    let answered = simulation.answered.len();
    simulation.propose(leader);
    simulation.run(300);
    assert_eq!(simulation.answered.len(), answered + 1);
}

#[test]
fn a_replica_whose_log_lost_its_end_stops() {
    let mut simulation = Simulation::new(9, 3);
    simulation.until("the first leader", |s| s.leader().is_some());
    simulation.grow();
    let leader = simulation.leader().unwrap();
    let victim = (0..3).find(|at| *at != leader).unwrap();
    let old = simulation.servers[victim].disk.content().unwrap();
    (0..5).for_each(|_| simulation.propose(leader));
    simulation
        .until("the requests", |s| s.answered.len() == 5 && s.node(victim).view().view.words.len() == 5);
    let mut messages: Vec<Message> = Vec::new();
    for _ in 0..HEARTBEAT_TICKS {
        simulation.servers[leader].node.as_mut().unwrap().tick();
    }
    simulation.servers[leader].node.as_mut().unwrap().settle(&mut messages).unwrap();
    let settings_of = &simulation.servers[victim];
    let settings = ReplicaSettings {
        member: settings_of.member.clone(),
        start: 99,
        heartbeat_ticks: HEARTBEAT_TICKS,
        election_min_ticks: 16,
        election_max_ticks: 24,
        snapshot_every_entries: 40,
        log_tail_entries: 10,
    };
    let mut node = Node::open(settings, Machine::default(), MemoryDisk::with(&old), &old, || 0).unwrap();
    let refused = messages.iter().filter(|m| m.to == settings_of.member.id).any(|m| node.step(m).is_err());
    assert!(refused, "the leader's heartbeat shows that acknowledged entries are gone");
}

#[test]
fn requests_that_say_nothing_sensible_are_answered_and_not_fatal() {
    let mut simulation = Simulation::new(2, 1);
    simulation.until("the first leader", |s| s.leader().is_some());
    let node = simulation.servers[0].node.as_mut().unwrap();
    node.propose(&Request::Swap { expect: 9, new: 1 }).unwrap();
    node.settle(&mut Vec::new()).unwrap();
    let mut outcomes = Vec::new();
    while let Some(event) = node.poll_event() {
        if let Event::Answered { outcome, .. } = event {
            outcomes.push(outcome);
        }
    }
    assert_eq!(outcomes, [support::Outcome::Found(0)]);
}
