//! Whole groups of replicas in one thread: a seeded network that loses, delays, repeats and reorders, crashes,
//! partitions. A client is the oracle. The same seed gives the same run.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use sb_consensus::replica::{Event, MemoryDisk, Message, ProposalId, ReadId, Replica, ReplicaSettings};
use sb_consensus::{Member, MemberId, MembershipChange, Role};
use support::{Machine, Request, write};

type Node = Replica<Machine, MemoryDisk>;

/// Milliseconds of a tick.
const TICK_MS: u64 = 50;
const HEARTBEAT_TICKS: u32 = 5;

struct Server {
    member: Member,
    disk: MemoryDisk,
    starts: u64,
    node: Option<Node>,
    asked: BTreeMap<ProposalId, String>,
    /// Reads, with the number of words that must be seen: all that were answered anywhere before.
    reading: BTreeMap<ReadId, u64>,
    next_tick_ms: u64,
}

struct Simulation {
    rng: StdRng,
    now_ms: u64,
    order: u64,
    servers: Vec<Server>,
    wire: BTreeMap<(u64, u64), Message>,
    cut: BTreeSet<(MemberId, MemberId)>,
    loss_percent: u32,
    next_word: u64,
    next_id: u64,
    answered: Vec<(String, u64)>,
    reads: usize,
    /// The longest state that any replica ever showed: whatever is in it stays.
    longest: Vec<String>,
    trace: Vec<String>,
}

fn id(n: u64) -> MemberId {
    MemberId::new(n).unwrap()
}

fn member(n: u64) -> Member {
    Member { id: id(n), name: format!("server-{n}"), address: format!("server-{n}:1") }
}

impl Simulation {
    /// Server 1 is a group of its own; the others are empty.
    fn new(seed: u64, count: u64) -> Self {
        let servers = (1..=count).map(|n| Server {
            member: member(n),
            disk: MemoryDisk::default(),
            starts: 0,
            node: None,
            asked: BTreeMap::new(),
            reading: BTreeMap::new(),
            next_tick_ms: n,
        });
        let mut simulation = Self {
            rng: StdRng::seed_from_u64(seed),
            now_ms: 0,
            order: 0,
            servers: servers.collect(),
            wire: BTreeMap::new(),
            cut: BTreeSet::new(),
            loss_percent: 0,
            next_word: 0,
            next_id: count,
            answered: Vec::new(),
            reads: 0,
            longest: Vec::new(),
            trace: Vec::new(),
        };
        let content = Node::bootstrap(&member(1), &Machine::default());
        simulation.servers[0].disk = MemoryDisk::with(&content);
        (0..simulation.servers.len()).for_each(|at| simulation.start(at));
        simulation
    }

    fn start(&mut self, at: usize) {
        let mut source = StdRng::seed_from_u64(self.rng.next_u64());
        let server = &mut self.servers[at];
        server.starts += 1;
        let settings = ReplicaSettings {
            member: server.member.clone(),
            start: server.starts,
            heartbeat_ticks: HEARTBEAT_TICKS,
            election_min_ticks: 16,
            election_max_ticks: 24,
            snapshot_every_entries: 40,
            log_tail_entries: 10,
        };
        let content = server.disk.content().unwrap();
        let disk = server.disk.clone();
        let node = Node::open(settings, Machine::default(), disk, &content, move || source.next_u64());
        server.node = Some(node.unwrap());
        server.next_tick_ms = self.now_ms + 1 + at as u64;
        self.settle(at);
    }

    fn crash(&mut self, at: usize) {
        self.servers[at].node = None;
        self.servers[at].asked.clear();
        self.servers[at].reading.clear();
    }

    fn settle(&mut self, at: usize) {
        let server = &mut self.servers[at];
        let Some(node) = &mut server.node else { return };
        let mut out = Vec::new();
        node.settle(&mut out).unwrap();
        while let Some(event) = node.poll_event() {
            match event {
                Event::Applied(applied) => {
                    let words = &applied.view.words;
                    let both = words.len().min(self.longest.len());
                    assert_eq!(words[..both], self.longest[..both], "replicas took different ways");
                    if words.len() > self.longest.len() {
                        self.longest.clone_from(words);
                    }
                    self.trace.push(format!(
                        "{} {} at {} has {}",
                        self.now_ms,
                        at,
                        applied.index,
                        words.len()
                    ));
                }
                Event::Answered { id, outcome } => {
                    let word = server.asked.remove(&id).unwrap();
                    let support::Outcome::Written(place) = outcome else { panic!("{outcome:?}") };
                    assert!(node.view().view.words.contains(&word), "an answer comes after its own state");
                    self.answered.push((word, place));
                }
                Event::Read { id, view } => {
                    let least = server.reading.remove(&id).unwrap();
                    assert!(view.words.len() as u64 >= least, "a read missed what was answered before it");
                    self.reads += 1;
                }
            }
        }
        out.into_iter().for_each(|message| self.post(message));
    }

    fn post(&mut self, message: Message) {
        let copies = if self.rng.random_ratio(1, 50) { 2 } else { 1 };
        for _ in 0..copies {
            let delay_ms = if self.rng.random_ratio(1, 20) { 300 } else { self.rng.random_range(1..90) };
            self.order += 1;
            self.wire.insert((self.now_ms + delay_ms, self.order), message.clone());
        }
    }

    fn deliver(&mut self, message: Message) {
        let lost = self.rng.random_range(0..100) < self.loss_percent;
        if lost || self.cut.contains(&(message.from, message.to)) {
            return;
        }
        // Messages to an id that is gone reach the server that has its address now.
        let name = usize::try_from(message.to.get()).unwrap();
        let at = self.servers.iter().position(|server| server.member.id == message.to).unwrap_or(name % 3);
        if let Some(node) = &mut self.servers[at].node {
            node.step(&message).unwrap();
            self.settle(at);
        }
    }

    /// Lets time pass.
    fn run(&mut self, for_ms: u64) {
        let end = self.now_ms + for_ms;
        while self.now_ms < end {
            self.now_ms += 1;
            while let Some(entry) = self.wire.first_entry().filter(|e| e.key().0 <= self.now_ms) {
                let message = entry.remove();
                self.deliver(message);
            }
            for at in 0..self.servers.len() {
                let due = self.servers[at].next_tick_ms <= self.now_ms;
                if let Some(node) = self.servers[at].node.as_mut().filter(|_| due) {
                    node.tick();
                    self.servers[at].next_tick_ms = self.now_ms + TICK_MS;
                    self.settle(at);
                }
            }
        }
    }

    /// Lets time pass until something holds, at most a minute.
    fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = self.now_ms + 60_000;
        while !holds(self) {
            assert!(self.now_ms < end, "{what} did not happen within a minute");
            self.run(10);
        }
    }

    fn node(&self, at: usize) -> &Node {
        self.servers[at].node.as_ref().unwrap()
    }

    fn leader(&self) -> Option<usize> {
        let leads = |server: &Server| server.node.as_ref().is_some_and(Node::is_leader);
        (0..self.servers.len())
            .filter(|at| leads(&self.servers[*at]))
            .max_by_key(|at| self.node(*at).health().raft_term)
    }

    fn propose(&mut self, at: usize) {
        self.next_word += 1;
        let word = format!("word-{}", self.next_word);
        let server = &mut self.servers[at];
        if let Some(id) = server.node.as_mut().and_then(|node| node.propose(&write(&word)).ok()) {
            server.asked.insert(id, word);
            self.settle(at);
        }
    }

    fn read(&mut self, at: usize) {
        let least = self.answered.iter().map(|(_, place)| *place).max().unwrap_or(0);
        let server = &mut self.servers[at];
        if let Some(id) = server.node.as_mut().and_then(|node| node.read().ok()) {
            server.reading.insert(id, least);
            self.settle(at);
        }
    }

    fn change(&mut self, change: &MembershipChange, seen: impl Fn(&Node) -> bool) {
        self.until("a change of membership", |s| s.leader().is_some());
        let end = self.now_ms + 60_000;
        loop {
            if let Some(leader) = self.leader() {
                if seen(self.node(leader)) {
                    return;
                }
                let _ = self.servers[leader].node.as_mut().unwrap().change(change);
                self.settle(leader);
            }
            self.run(300);
            assert!(self.now_ms < end, "{change:?} was not carried out");
        }
    }

    /// Everybody becomes a voter; an earlier incarnation of the name leaves first.
    fn grow(&mut self) {
        for at in 0..self.servers.len() {
            let member = self.servers[at].member.clone();
            self.until("a leader", |s| s.leader().is_some());
            let leader = self.leader().unwrap();
            let earlier = self.node(leader).membership().by_name(&member.name).map(|earlier| earlier.id);
            if let Some(earlier) = earlier.filter(|earlier| *earlier != member.id) {
                self.change(&MembershipChange::Remove(earlier), |node| {
                    node.membership().was_removed(earlier)
                });
            }
            let id = member.id;
            self.change(&MembershipChange::AddLearner(member), |node| node.membership().get(id).is_some());
            self.change(&MembershipChange::Promote(id), |node| node.membership().is_voter(id));
        }
    }

    /// A server loses its directory and comes back under a new id.
    fn wipe(&mut self, at: usize) {
        self.crash(at);
        self.next_id += 1;
        let server = &mut self.servers[at];
        server.member.id = id(self.next_id);
        server.disk = MemoryDisk::default();
        server.starts = 0;
        self.start(at);
    }

    /// Nothing is there twice, nothing answered is missing. (That all replicas go the same way is checked whenever
    /// one applies something.)
    fn check(&self) {
        let distinct: BTreeSet<&String> = self.longest.iter().collect();
        assert_eq!(distinct.len(), self.longest.len(), "a request was applied twice");
        for (word, place) in &self.answered {
            let found = usize::try_from(*place).ok().and_then(|place| self.longest.get(place - 1));
            assert_eq!(found, Some(word), "an answered request is missing or elsewhere");
        }
    }

    fn disturb(&mut self) {
        let at = self.rng.random_range(0..self.servers.len());
        match self.rng.random_range(0..6) {
            0 => self.crash(at),
            1 | 2 => {
                let one = self.servers[at].member.id;
                for other in self.servers.iter().map(|server| server.member.id) {
                    self.cut.insert((other, one));
                    if self.rng.random_ratio(1, 2) {
                        self.cut.insert((one, other));
                    }
                }
            }
            3 => self.cut.clear(),
            4 => self.loss_percent = self.rng.random_range(0..30),
            _ => self.servers[at].disk.fill(),
        }
        let back = self.rng.random_range(0..self.servers.len());
        self.servers[back].disk.clear();
        if self.servers[back].node.is_none() {
            self.start(back);
        }
    }

    fn heal(&mut self) {
        self.cut.clear();
        self.loss_percent = 0;
        for at in 0..self.servers.len() {
            self.servers[at].disk.clear();
            if self.servers[at].node.is_none() {
                self.start(at);
            }
        }
    }
}

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
