//! A group of replicas, the network between them, and the client that remembers.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use sb_consensus::replica::{Event, MemoryDisk, Message, ProposalId, ReadId, Replica, ReplicaSettings};
use sb_consensus::{Member, MemberId, MembershipChange};

use crate::support::{Machine, Outcome, write};

pub type Node = Replica<Machine, MemoryDisk>;

/// Milliseconds of a tick.
pub const TICK_MS: u64 = 50;
pub const HEARTBEAT_TICKS: u32 = 5;

pub struct Server {
    pub member: Member,
    pub disk: MemoryDisk,
    pub starts: u64,
    pub node: Option<Node>,
    pub asked: BTreeMap<ProposalId, String>,
    /// Reads, with the number of words that must be seen: all that were answered anywhere before.
    pub reading: BTreeMap<ReadId, u64>,
    pub next_tick_ms: u64,
}

pub struct Simulation {
    pub rng: StdRng,
    pub now_ms: u64,
    pub order: u64,
    pub servers: Vec<Server>,
    pub wire: BTreeMap<(u64, u64), Message>,
    pub cut: BTreeSet<(MemberId, MemberId)>,
    pub loss_percent: u32,
    pub next_word: u64,
    pub next_id: u64,
    pub answered: Vec<(String, u64)>,
    pub reads: usize,
    /// The longest state that any replica ever showed: whatever is in it stays.
    pub longest: Vec<String>,
    pub trace: Vec<String>,
}

pub fn id(n: u64) -> MemberId {
    MemberId::new(n).unwrap()
}

pub fn member(n: u64) -> Member {
    Member { id: id(n), name: format!("server-{n}"), address: format!("server-{n}:1") }
}

impl Simulation {
    /// Server 1 is a group of its own; the others are empty.
    pub fn new(seed: u64, count: u64) -> Self {
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

    pub fn start(&mut self, at: usize) {
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

    pub fn crash(&mut self, at: usize) {
        self.servers[at].node = None;
        self.servers[at].asked.clear();
        self.servers[at].reading.clear();
    }

    pub fn settle(&mut self, at: usize) {
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
                    let Outcome::Written(place) = outcome else { panic!("{outcome:?}") };
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

    pub fn post(&mut self, message: Message) {
        let copies = if self.rng.random_ratio(1, 50) { 2 } else { 1 };
        for _ in 0..copies {
            let delay_ms = if self.rng.random_ratio(1, 20) { 300 } else { self.rng.random_range(1..90) };
            self.order += 1;
            self.wire.insert((self.now_ms + delay_ms, self.order), message.clone());
        }
    }

    pub fn deliver(&mut self, message: Message) {
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
    pub fn run(&mut self, for_ms: u64) {
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
    pub fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = self.now_ms + 60_000;
        while !holds(self) {
            assert!(self.now_ms < end, "{what} did not happen within a minute");
            self.run(10);
        }
    }

    pub fn node(&self, at: usize) -> &Node {
        self.servers[at].node.as_ref().unwrap()
    }

    pub fn leader(&self) -> Option<usize> {
        let leads = |server: &Server| server.node.as_ref().is_some_and(Node::is_leader);
        (0..self.servers.len())
            .filter(|at| leads(&self.servers[*at]))
            .max_by_key(|at| self.node(*at).health().raft_term)
    }

    pub fn propose(&mut self, at: usize) {
        self.next_word += 1;
        let word = format!("word-{}", self.next_word);
        let server = &mut self.servers[at];
        if let Some(id) = server.node.as_mut().and_then(|node| node.propose(&write(&word)).ok()) {
            server.asked.insert(id, word);
            self.settle(at);
        }
    }

    pub fn read(&mut self, at: usize) {
        let least = self.answered.iter().map(|(_, place)| *place).max().unwrap_or(0);
        let server = &mut self.servers[at];
        if let Some(id) = server.node.as_mut().and_then(|node| node.read().ok()) {
            server.reading.insert(id, least);
            self.settle(at);
        }
    }

    pub fn change(&mut self, change: &MembershipChange, seen: impl Fn(&Node) -> bool) {
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
    pub fn grow(&mut self) {
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
    pub fn wipe(&mut self, at: usize) {
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
    pub fn check(&self) {
        let distinct: BTreeSet<&String> = self.longest.iter().collect();
        assert_eq!(distinct.len(), self.longest.len(), "a request was applied twice");
        for (word, place) in &self.answered {
            let found = usize::try_from(*place).ok().and_then(|place| self.longest.get(place - 1));
            assert_eq!(found, Some(word), "an answered request is missing or elsewhere");
        }
    }

    pub fn disturb(&mut self) {
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

    pub fn heal(&mut self) {
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
