//! The store's thread of each agent: the real Raft core, its disk, its messages.

use std::sync::Arc;

use sb_consensus::replica::{Event as StoreEvent, Halt, Message, Outbox, ReplicaSettings};
use sb_failover::{Event, ProposalId, ProposalResult, Request};

use super::build::server_of;
use super::{BEGIN_MS, FAULTS_MS, What, World};
use crate::invariants::Happening;
use crate::model::disk::VirtualDisk;
use crate::model::ledger::{Replicated, Ticket};
use crate::model::network::Fate;
use crate::rng::{MS, Rng};
use crate::server::{Asked, Input, Node};

/// The production timings of the store, in ticks.
const TICK_MS: u64 = 50;
const HEARTBEAT_TICKS: u32 = 5;
const ELECTION_MIN_TICKS: u32 = 16;
const ELECTION_MAX_TICKS: u32 = 24;
/// Often enough that most schedules see a few.
const SNAPSHOT_EVERY_ENTRIES: u64 = 150;
const LOG_TAIL_ENTRIES: u64 = 40;
/// After how long a proposal without an answer is given up, as the agent does.
const PROPOSAL_MS_MAX: u64 = 1_500;
/// Of 100 proposals, how many are given up and carried out later.
const PROPOSALS_LATE: u64 = 3;
const PROPOSAL_LATE_MS: (u64, u64) = (0, 15_000);
/// How long after the last fault at most.
const PROPOSAL_LATE_IN_CALM_MS_MAX: u64 = 1_000;
/// What a stopped thread finds in its sockets afterwards; the rest was dropped.
const INBOX_MAX: usize = 256;
/// Missed ticks that are made up for, as the agent does.
const CATCH_UP_TICKS_MAX: u32 = 2;
/// How much longer a sync takes on a slow disk, in milliseconds.
const SLOW_SYNC_MS: (u64, u64) = (20, 600);

/// Collects messages; those sent after a write have to wait for its sync.
struct Sent<'a> {
    messages: &'a mut Vec<Message>,
    disk: &'a VirtualDisk,
    before_writes: Option<usize>,
}

impl Outbox for Sent<'_> {
    fn send(&mut self, message: Message) {
        if self.before_writes.is_none() && self.disk.unsynced() > 0 {
            self.before_writes = Some(self.messages.len());
        }
        self.messages.push(message);
    }
}

impl World {
    /// Opens the replica where its disk ends; false when the disk is refused.
    pub fn start_store(&mut self, server: usize) -> bool {
        let mut source = Rng::new(self.rng.next());
        let state = Replicated::new(&self.ledger);
        let store = &mut self.servers[server].store;
        store.starts += 1;
        let settings = ReplicaSettings {
            member: store.member.clone(),
            start: store.starts,
            heartbeat_ticks: HEARTBEAT_TICKS,
            election_min_ticks: ELECTION_MIN_TICKS,
            election_max_ticks: ELECTION_MAX_TICKS,
            snapshot_every_entries: SNAPSHOT_EVERY_ENTRIES,
            log_tail_entries: LOG_TAIL_ENTRIES,
        };
        let opened = store.disk.content().and_then(|content| {
            let node = Node::open(settings, state, store.disk.clone(), &content, move || source.next());
            node.map_err(|error| error.to_string())
        });
        match opened {
            Ok(node) => store.node = Some(node),
            Err(reason) => {
                self.note(|| format!("s{server} its store is refused: {reason}"));
                return false;
            }
        }
        self.settle(server);
        // What was replayed is on the disk already.
        let store = &mut self.servers[server].store;
        store.applied = store.node.as_ref().map_or(0, |node| node.view().view.applied);
        let run = self.servers[server].run;
        let first = self.rng.range(0, TICK_MS * MS);
        self.after(first, What::Tick { server, run });
        true
    }

    /// The process is gone, what it held in memory with it.
    pub fn stop_store(&mut self, server: usize) {
        let store = &mut self.servers[server].store;
        store.node = None;
        store.busy = false;
        store.ticks_missed = 0;
        store.asked.clear();
        store.inbox.clear();
        store.held_messages.clear();
        store.held_answers.clear();
        store.applied = 0;
    }

    pub fn tick(&mut self, server: usize, run: u64) {
        if self.servers[server].run != run {
            return;
        }
        self.after(TICK_MS * MS, What::Tick { server, run });
        let stopped = !self.servers[server].agent_runs();
        let store = &mut self.servers[server].store;
        if stopped || store.busy {
            store.ticks_missed = CATCH_UP_TICKS_MAX.min(store.ticks_missed + 1);
            return;
        }
        if let Some(node) = &mut store.node {
            node.tick();
            let led = std::mem::replace(&mut store.led, node.is_leader());
            if store.led && !led {
                self.tally.note("store: leader elected");
            }
        }
        self.expire(server);
        self.settle(server);
    }

    fn expire(&mut self, server: usize) {
        let now = self.now;
        let store = &mut self.servers[server].store;
        let Some(node) = store.node.as_mut().filter(|_| !store.asked.is_empty()) else {
            return;
        };
        let late: Vec<_> = store.asked.extract_if(.., |_, asked| asked.until <= now).collect();
        for (id, _) in &late {
            node.cancel_proposal(*id);
        }
        for (_, asked) in late {
            if let Some(id) = asked.id {
                self.deliver(server, Event::ProposalDone { id, result: ProposalResult::Ambiguous });
            }
        }
    }

    /// A message arrives at the address of the member that it is for.
    pub fn receive(&mut self, message: Box<Message>) {
        let (from, to) = (server_of(message.from), server_of(message.to));
        let there = self.servers[to].up && self.servers[to].agent && self.servers[to].suspended.is_none();
        if there && self.network.carries(from, to) {
            self.input(to, Input::Message(message));
        }
    }

    fn input(&mut self, server: usize, input: Input) {
        let stopped = !self.servers[server].agent_runs();
        let store = &mut self.servers[server].store;
        if stopped || store.busy {
            if store.inbox.len() < INBOX_MAX {
                store.inbox.push_back(input);
            }
            return;
        }
        self.take(server, input);
        self.settle(server);
    }

    fn take(&mut self, server: usize, input: Input) {
        let until = self.now + PROPOSAL_MS_MAX * MS;
        let store = &mut self.servers[server].store;
        let Some(node) = &mut store.node else {
            return;
        };
        match input {
            Input::Message(message) => {
                let carries = message.snapshot.as_ref().map(|_| node.view().view.applied);
                if let Err(halt) = node.step(&message) {
                    self.halt(server, &halt);
                } else if let Some(before) = carries {
                    self.snapshot_came(server, before);
                }
            }
            Input::Propose(id, ticket) => match node.propose(&ticket) {
                Ok(proposal) => drop(store.asked.insert(proposal, Asked { id, until })),
                Err(_) => self.unanswered(server, id),
            },
        }
    }

    /// A replica that takes a snapshot jumps to its state when it has settled.
    fn snapshot_came(&mut self, server: usize, before: usize) {
        self.settle(server);
        let node = self.servers[server].store.node.as_ref();
        if node.is_some_and(|node| node.view().view.applied > before) {
            self.tally.note("store: snapshot installed");
        }
    }

    fn unanswered(&mut self, server: usize, id: Option<ProposalId>) {
        if let Some(id) = id {
            let run = self.servers[server].run;
            let event = Box::new(Event::ProposalDone { id, result: ProposalResult::Ambiguous });
            self.after(500 * MS, What::Deliver { server, run, event });
        }
    }

    pub fn propose(&mut self, server: usize, id: Option<ProposalId>, request: Request) {
        let told = self.trace.is_some().then(|| format!("{request:?}"));
        let ticket: Ticket = self.ledger.issue(request);
        // Given up, and carried out long after.
        if id.is_some() && self.unlucky(PROPOSALS_LATE) {
            self.note(|| format!("s{server} loses sight of {}", told.unwrap_or_default()));
            self.unanswered(server, id);
            // A renewal that counts in the calm is a fault of the calm: what lies in buffers comes out when that begins.
            let calm_begins = ((BEGIN_MS + FAULTS_MS) * MS).saturating_sub(self.now);
            let later = self.ns(PROPOSAL_LATE_MS).min(calm_begins + PROPOSAL_LATE_IN_CALM_MS_MAX * MS);
            return self.after(later, What::Late { server, ticket });
        }
        if self.servers[server].store.node.is_none() {
            return self.unanswered(server, id);
        }
        self.input(server, Input::Propose(id, ticket));
    }

    /// It comes through any server that is there then: a message that lay in a buffer somewhere.
    pub fn propose_late(&mut self, server: usize, ticket: Ticket) {
        let count = self.count();
        let there = (0..count).map(|s| (server + s) % count);
        let through = there.into_iter().find(|s| {
            self.servers[*s].agent_runs() && self.servers[*s].store.node.as_ref().is_some_and(Node::is_leader)
        });
        if let Some(through) = through {
            self.input(through, Input::Propose(None, ticket));
        }
    }

    /// Lets the replica do what is due. What rests on a write leaves the server when the write is synced.
    pub fn settle(&mut self, server: usize) {
        let mut messages = std::mem::take(&mut self.outbox);
        let store = &mut self.servers[server].store;
        let Some(node) = &mut store.node else {
            self.outbox = messages;
            return;
        };
        let mut sent = Sent { messages: &mut messages, disk: &store.disk, before_writes: None };
        let settled = node.settle(&mut sent);
        let free = sent.before_writes.unwrap_or(messages.len());
        while let Some(event) = node.poll_event() {
            if let StoreEvent::Answered { id, outcome } = event {
                store.held_answers.push((id, outcome));
            }
        }
        store.held_messages.extend(messages.drain(free..));
        let writes = store.disk.unsynced();
        if let Err(halt) = settled {
            self.outbox = messages;
            return self.halt(server, &halt);
        }
        for message in messages.drain(..) {
            self.post(message);
        }
        self.outbox = messages;
        if writes > 0 {
            self.begin_sync(server, writes);
        } else {
            self.release(server);
        }
        self.see_steps();
    }

    fn begin_sync(&mut self, server: usize, writes: usize) {
        let (low, high) = self.profile.sync_us;
        let mut takes = self.rng.range(low * 1_000, high * 1_000) * writes as u64;
        if self.servers[server].slow_disk > 0 {
            takes += self.ns(SLOW_SYNC_MS);
        }
        self.servers[server].store.busy = true;
        let run = self.servers[server].run;
        self.after(takes, What::Synced { server, run });
    }

    pub fn synced(&mut self, server: usize, run: u64) {
        let s = &mut self.servers[server];
        if s.run != run {
            return;
        }
        if !s.agent_runs() {
            // The disk is done, the thread is not there to see it.
            return self.after(10 * MS, What::Synced { server, run });
        }
        s.store.disk.sync();
        s.store.busy = false;
        self.release(server);
        self.catch_up(server);
    }

    /// What came while the thread could not take it.
    pub fn catch_up(&mut self, server: usize) {
        let missed = std::mem::take(&mut self.servers[server].store.ticks_missed);
        if let Some(node) = self.servers[server].store.node.as_mut().filter(|_| missed > 0) {
            (0..missed).for_each(|_| node.tick());
            self.expire(server);
            self.settle(server);
        }
        while !self.servers[server].store.busy
            && let Some(input) = self.servers[server].store.inbox.pop_front()
        {
            self.take(server, input);
            self.settle(server);
        }
    }

    /// Everything that the replica said so far is durable here.
    fn release(&mut self, server: usize) {
        let store = &mut self.servers[server].store;
        let Some(node) = &store.node else {
            return;
        };
        store.applied = node.view().view.applied;
        let mut messages = std::mem::take(&mut store.held_messages);
        for message in messages.drain(..) {
            self.post(message);
        }
        let store = &mut self.servers[server].store;
        store.held_messages = messages;
        let news = store.applied > self.servers[server].told;
        if news && !std::mem::replace(&mut self.servers[server].tell_due, true) {
            let (run, soon) = (self.servers[server].run, self.rng.range(0, MS));
            self.after(soon, What::Tell { server, run });
        }
        let mut answers = std::mem::take(&mut self.servers[server].store.held_answers);
        for (id, answer) in answers.drain(..) {
            let asked = self.servers[server].store.asked.remove(&id);
            let Some(id) = asked.and_then(|asked| asked.id) else {
                continue;
            };
            let outcome = self.ledger.outcome(answer);
            let result = outcome.map_or_else(ProposalResult::Rejected, |()| ProposalResult::Applied);
            let (run, soon) = (self.servers[server].run, self.rng.range(0, MS));
            let event = Box::new(Event::ProposalDone { id, result });
            self.after(soon, What::Deliver { server, run, event });
        }
        self.servers[server].store.held_answers = answers;
    }

    fn post(&mut self, message: Message) {
        let (from, to) = (server_of(message.from), server_of(message.to));
        let cut = |s: usize| self.servers[s].store.cut > 0;
        if !self.network.carries(from, to) || cut(from) || cut(to) {
            return;
        }
        let delay = self.network.delay_ns(from, to, &mut self.rng);
        match self.network.fate(&mut self.rng) {
            Fate::Lost => {}
            Fate::Arrives => self.after(delay, What::Message(Box::new(message))),
            Fate::Late(late) => self.after(delay + late, What::Message(Box::new(message))),
            Fate::Doubled(later) => {
                self.after(delay + later, What::Message(Box::new(message.clone())));
                self.after(delay, What::Message(Box::new(message)));
            }
        }
    }

    /// The invariants see every state that the record goes through.
    fn see_steps(&mut self) {
        let steps = self.ledger.len();
        while self.steps_seen < steps {
            self.steps_seen += 1;
            let step = self.steps_seen;
            if self.trace.is_some() {
                let (request, outcome) = self.ledger.step(step - 1);
                self.note(|| format!("store {request:?} -> {outcome:?}"));
            }
            self.tell(&Happening::Committed { step });
        }
        if let Some(fork) = self.ledger.fork() {
            self.violate("state_machines_agree", fork);
        }
    }

    /// A replica that doubts itself: the agent ends, and a person looks at it.
    fn halt(&mut self, server: usize, halt: &Halt) {
        self.note(|| format!("s{server} its store halts: {halt}"));
        self.crash_agent(server);
    }

    /// What the machine of a server may know of the record.
    pub fn record_of(&self, server: usize) -> Arc<sb_failover::ClusterRecord> {
        self.ledger.at(self.servers[server].store.applied)
    }
}
