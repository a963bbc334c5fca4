//! A whole cluster as one discrete-event simulation: everything that happens is an entry in one queue.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use sb_failover::record::Request;
use sb_failover::{
    Command, DataDirectory, Event, Follower, JournalEntry, Observation, ProposalId, ProposalResult, Role,
    State, Trigger,
};
use sb_pgtypes::SystemIdentifier;

use crate::faults::Fault;
use crate::invariants::{Happening, Invariant};
use crate::postgres::{Record, lsn};
use crate::profile::{MS, Profile};
use crate::queue::Entry;
use crate::rng::Rng;
use crate::server::{Server, name};
use crate::store::Store;

pub const SYSTEM: SystemIdentifier = SystemIdentifier::new(4711);

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum What {
    Deliver {
        server: usize,
        run: u64,
        event: Event,
    },
    Wake {
        server: usize,
        run: u64,
        at: u64,
    },
    Arrive {
        server: Option<(usize, u64, ProposalId)>,
        request: Box<Request>,
        tries: u32,
    },
    Apply {
        server: usize,
    },
    Observe {
        server: usize,
    },
    Pull {
        server: usize,
    },
    Acknowledge {
        primary: usize,
        connection: u64,
        standby: usize,
        records: usize,
    },
    Write,
    GuardFires {
        server: usize,
        armed: sb_failover::Armed,
    },
    Killed {
        server: usize,
        run: u64,
        op: Option<sb_failover::OpId>,
    },
    Effect {
        server: usize,
        run: u64,
        op: sb_failover::OpId,
    },
    Fault,
    Strike {
        fault: Fault,
        lasts_ms: (u64, u64),
    },
    Heal(Fault),
    /// A question of the failsafe reaches a member, or its answer the holder.
    Ask {
        server: usize,
        ask: sb_failover::AskId,
        question: Box<sb_failover::FailsafeQuestion>,
    },
    /// A member's promise to a holder is on its disk.
    Stored {
        server: usize,
        run: u64,
        op: sb_failover::OpId,
        promise: sb_failover::FailsafePromise,
    },
}

/// A rule was broken.
#[derive(Clone, Debug)]
pub struct Violation {
    pub invariant: &'static str,
    pub at_ms: u64,
    pub what: String,
}

pub struct World {
    pub profile: Profile,
    pub rng: Rng,
    pub now: u64,
    pub servers: Vec<Server>,
    pub store: Store,
    /// `links[a][b]`: what `a` sends reaches `b`.
    pub links: Vec<Vec<bool>>,
    pub deaf: BTreeSet<usize>,
    pub slow: BTreeSet<usize>,
    /// Nobody reaches the store.
    pub store_down: bool,
    /// Questions of the failsafe under way: who asked whom in which round.
    pub questions: BTreeMap<u64, (usize, u64, usize, sb_failover::Round)>,
    pub acknowledged: Vec<(Record, u64)>,
    pub moves: BTreeSet<(State, Trigger)>,
    pub trace: Option<Vec<String>>,
    pub violation: Option<Violation>,
    /// Whether messages are lost, late or doubled.
    pub lossy: bool,
    invariants: Vec<Box<dyn Invariant>>,
    next_record: Record,
    order: u64,
    queue: BinaryHeap<Reverse<Entry>>,
}

impl World {
    pub fn new(seed: u64, profile: Profile, invariants: Vec<Box<dyn Invariant>>) -> Self {
        let mut rng = Rng::new(seed);
        let count = 3 + rng.pick(4);
        let servers: Vec<_> = (0..count)
            .map(|i| {
                let ppm = i64::try_from(rng.range(0, 2 * profile.clock_ppm.unsigned_abs() + 1)).unwrap();
                let ppm =
                    if rng.chance(50) { ppm - profile.clock_ppm } else { ppm.signum() * profile.clock_ppm };
                let ppm = if rng.chance(30) { -profile.clock_ppm } else { ppm };
                // The first two share a site, as at Ravena.
                Server::new(i, i.saturating_sub(1), ppm, &profile)
            })
            .collect();
        let store = Store::new(profile.mutant);
        let mut world = Self {
            rng,
            now: 0,
            links: vec![vec![true; count]; count],
            store,
            servers,
            deaf: BTreeSet::new(),
            slow: BTreeSet::new(),
            store_down: false,
            questions: BTreeMap::new(),
            acknowledged: Vec::new(),
            moves: BTreeSet::new(),
            trace: None,
            violation: None,
            lossy: true,
            invariants,
            next_record: 1,
            order: 0,
            queue: BinaryHeap::new(),
            profile,
        };
        for server in 0..count {
            world.begin_agent(server);
            world.after(server as u64 * MS, What::Observe { server });
            world.after(server as u64 * MS, What::Pull { server });
        }
        world.after(MS, What::Write);
        world
    }

    /// Runs faults, then calm; gives the rule that was broken.
    pub fn run(&mut self) -> Option<Violation> {
        // First a cluster that works, so that there is something to break.
        self.run_until(6_000 * MS);
        self.put_timings_in_force();
        self.run_until(8_000 * MS);
        let faults_end = self.now + self.profile.faults_ms * MS;
        self.after(0, What::Fault);
        self.run_until(faults_end);
        self.heal_everything();
        self.run_until(faults_end + self.profile.calm_ms * MS);
        self.tell(&Happening::End);
        self.violation.clone()
    }

    fn run_until(&mut self, end: u64) {
        while self.violation.is_none() {
            match self.queue.peek() {
                Some(Reverse(entry)) if entry.at <= end => {}
                Some(_) | None => break,
            }
            let Some(Reverse(entry)) = self.queue.pop() else {
                break;
            };
            self.now = entry.at;
            self.happen(entry.what);
        }
        self.now = end;
    }

    pub fn after(&mut self, delay: u64, what: What) {
        self.order += 1;
        self.queue.push(Reverse(Entry { at: self.now + delay, order: self.order, what }));
    }

    /// Nothing more goes wrong, and nothing is left to be put right one by one.
    pub fn drop_faults(&mut self) {
        self.queue.retain(|Reverse(entry)| {
            !matches!(entry.what, What::Fault | What::Strike { .. } | What::Heal(_))
        });
    }

    pub fn ns(&mut self, range_ms: (u64, u64)) -> u64 {
        Profile::ns(&mut self.rng, range_ms)
    }

    pub fn new_record(&mut self) -> Record {
        self.next_record += 1;
        self.next_record
    }

    pub fn note(&mut self, text: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>9.3} {}", now as f64 / 1e9, text()));
        }
    }

    /// Shows `happening` to every invariant.
    pub fn tell(&mut self, happening: &Happening) {
        let mut invariants = std::mem::take(&mut self.invariants);
        for invariant in &mut invariants {
            if let Err(what) = invariant.see(self, happening)
                && self.violation.is_none()
            {
                let at_ms = self.now / MS;
                self.violation = Some(Violation { invariant: invariant.name(), at_ms, what });
            }
        }
        self.invariants = invariants;
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Deliver { server, run, event } => {
                if self.servers[server].run == run {
                    self.feed(server, event);
                }
            }
            What::Wake { server, run, at } => {
                let s = &self.servers[server];
                if s.run == run && s.wake == Some(at) {
                    self.feed(server, Event::Timeout);
                }
            }
            What::Arrive { server, request, tries } => self.arrive(server, *request, tries),
            What::Apply { server } => self.apply(server),
            What::Observe { server } => self.observe(server),
            What::Pull { server } => self.pull(server),
            What::Acknowledge { primary, connection, standby, records } => {
                self.acknowledge(primary, connection, standby, records);
            }
            What::Write => self.write(),
            What::GuardFires { server, armed } => self.guard_fires(server, armed),
            What::Killed { server, run, op } => self.killed(server, run, op),
            What::Effect { server, run, op } => self.effect(server, run, op),
            What::Fault => self.fault(),
            What::Strike { fault, lasts_ms } => self.strike(fault, lasts_ms),
            What::Heal(fault) => self.heal(&fault),
            What::Ask { server, ask, question } => self.asked(server, ask, *question),
            What::Stored { server, run, op, promise } => self.stored(server, run, op, promise),
        }
    }

    /// A new agent hears from its guard, of PostgreSQL, and what its replica of the store replays.
    pub fn begin_agent(&mut self, server: usize) {
        self.report(server);
        let observation = self.observation(server);
        self.deliver(server, Event::Postgres(observation));
        let record = Arc::clone(self.store.at(self.servers[server].applied));
        self.deliver(server, Event::Record(record));
    }

    pub fn deliver(&mut self, server: usize, event: Event) {
        let run = self.servers[server].run;
        self.after(0, What::Deliver { server, run, event });
    }

    /// Gives an event to a machine and carries out its commands.
    pub fn feed(&mut self, server: usize, event: Event) {
        let now = self.now;
        let s = &mut self.servers[server];
        if !s.up {
            return;
        }
        if s.frozen {
            s.inbox.push_back(event);
            return;
        }
        let clock = s.clock(now);
        for command in s.handle(event, clock) {
            self.command(server, command);
        }
        let s = &mut self.servers[server];
        let wake = s.machine.poll_timeout().map(|at| s.when(at).max(now));
        if wake != s.wake
            && let Some(at) = wake
        {
            s.wake = wake;
            let run = s.run;
            self.after(at - now, What::Wake { server, run, at });
        } else {
            s.wake = wake;
        }
    }

    fn command(&mut self, server: usize, command: Command) {
        match command {
            Command::Journal(entry) => {
                if let JournalEntry::Moved { from, trigger, .. } = &entry {
                    self.moves.insert((*from, *trigger));
                }
                self.note(|| format!("s{server} {entry:?}"));
            }
            Command::Propose { id, request } => self.propose(server, id, request),
            other => self.operate(server, other),
        }
    }

    pub const fn unlucky(&mut self, percent: u64) -> bool {
        self.lossy && self.rng.chance(percent)
    }

    fn propose(&mut self, server: usize, id: ProposalId, request: Request) {
        let run = self.servers[server].run;
        let request = Box::new(request);
        let from = Some((server, run, id));
        if self.servers[server].stalled || self.unlucky(1) {
            return self.answer(from, ProposalResult::Ambiguous, 1_000 * MS);
        }
        let late = if self.unlucky(2) { self.ns((0, 6_000)) } else { 0 };
        let delay = self.ns(self.profile.delay_ms) + late;
        // Given up, and applied long after.
        if self.unlucky(2) {
            self.answer(from, ProposalResult::Ambiguous, 500 * MS);
            let later = self.ns((600, 15_000));
            return self.after(later, What::Arrive { server: None, request, tries: 0 });
        }
        if self.unlucky(2) {
            let again = self.ns((0, 5_000));
            self.after(again, What::Arrive { server: None, request: request.clone(), tries: 0 });
        }
        self.after(delay, What::Arrive { server: from, request, tries: 0 });
    }

    fn answer(&mut self, to: Option<(usize, u64, ProposalId)>, result: ProposalResult, delay: u64) {
        if let Some((server, run, id)) = to {
            self.after(delay, What::Deliver { server, run, event: Event::ProposalDone { id, result } });
        }
    }

    fn arrive(&mut self, from: Option<(usize, u64, ProposalId)>, request: Request, tries: u32) {
        let reached = from.is_none_or(|(server, _, _)| self.reaches_store(server));
        if !reached {
            // It may still be on its way when the proposer has given it up.
            if tries < 3 && self.rng.chance(40) {
                let later = self.ns((100, 1_500));
                return self.after(
                    later,
                    What::Arrive { server: from, request: Box::new(request), tries: tries + 1 },
                );
            }
            return self.answer(from, ProposalResult::Ambiguous, 500 * MS);
        }
        let outcome = self.store.commit(&request);
        self.note(|| format!("store {request:?} -> {outcome:?}"));
        let result = match outcome {
            Ok(()) => {
                self.tell(&Happening::Committed);
                for server in 0..self.servers.len() {
                    let delay = self.ns(self.profile.delay_ms);
                    self.after(delay, What::Apply { server });
                }
                ProposalResult::Applied
            }
            Err(rejection) => ProposalResult::Rejected(rejection),
        };
        let deaf = from.is_some_and(|(server, _, _)| self.deaf.contains(&server));
        let lost = deaf || self.unlucky(2);
        let late = if self.unlucky(4) { self.ns((0, 3_000)) } else { 0 };
        let delay = self.ns(self.profile.delay_ms) + late;
        self.answer(from, if lost { ProposalResult::Ambiguous } else { result }, delay);
    }

    fn apply(&mut self, server: usize) {
        let s = &self.servers[server];
        let last = self.store.last();
        if !s.agent_runs() || self.deaf.contains(&server) || s.applied >= last || !self.reaches_store(server)
        {
            return;
        }
        let next = if self.rng.chance(50) { last } else { s.applied + 1 };
        self.servers[server].applied = next;
        let record = Arc::clone(self.store.at(next));
        self.feed(server, Event::Record(record));
        if next < last {
            self.after(0, What::Apply { server });
        }
    }

    fn observe(&mut self, server: usize) {
        let again = self.ns((80, 120));
        self.after(again, What::Observe { server });
        if !self.servers[server].agent_runs() {
            return;
        }
        let observation = self.observation(server);
        self.feed(server, Event::Postgres(observation));
        if self.servers[server].applied < self.store.last() {
            self.after(0, What::Apply { server });
        }
    }

    pub fn observation(&self, server: usize) -> Observation {
        let p = &self.servers[server].postgres;
        let running = p.role != Role::Stopped;
        let followers = p.flushed.iter().map(|(s, records)| Follower {
            server: name(*s),
            flushed: lsn(*records),
            streaming: self.linked(server, *s) && self.servers[*s].postgres.upstream == Some(server),
        });
        let data = if p.has_data { DataDirectory::Present(SYSTEM) } else { DataDirectory::Absent };
        let from = p.upstream.filter(|u| self.linked(server, *u) && self.servers[*u].is_primary());
        Observation {
            role: p.role,
            data,
            position: running.then(|| p.position()),
            streaming_from: from.map(name),
            broken: None,
            followers: if p.role == Role::Primary { followers.collect() } else { Vec::new() },
        }
    }

    /// A standby takes what its upstream has.
    fn pull(&mut self, server: usize) {
        let slow = self.slow.contains(&server);
        let again = if slow { self.ns((200, 2_000)) } else { self.ns((5, 15)) };
        self.after(again, What::Pull { server });
        let p = &self.servers[server].postgres;
        let Some(upstream) = p.upstream.filter(|_| p.role == Role::Standby) else {
            return;
        };
        let source = &self.servers[upstream].postgres;
        if !self.linked(server, upstream) || matches!(source.role, Role::Stopped) {
            return;
        }
        let source = source.clone();
        let p = &mut self.servers[server].postgres;
        if p.copy_from(&source, 200) && source.role == Role::Primary {
            let records = p.log.len().min(source.log.len());
            let (primary, connection) = (upstream, source.connection);
            let delay = self.ns(self.profile.delay_ms);
            self.after(delay, What::Acknowledge { primary, connection, standby: server, records });
        }
    }

    fn acknowledge(&mut self, primary: usize, connection: u64, standby: usize, records: usize) {
        let p = &mut self.servers[primary].postgres;
        if p.role != Role::Primary || p.connection != connection {
            return;
        }
        let flushed = p.flushed.entry(standby).or_default();
        *flushed = records.max(*flushed);
        let (term, done) = (p.term, p.acknowledge(name));
        for transaction in done {
            self.acknowledged(primary, term, transaction);
        }
    }
}
