//! One server: its host, its clock, its guard, its agent, its disks.

use std::collections::{BTreeMap, VecDeque};

use sb_consensus::replica::{Message, Replica};
use sb_failover::{
    BootTime, Command, Config, Event, GuardReport, Machine, OpId, Persisted, Processes, ProposalId, Role,
};
use sb_topology::ServerName;

use crate::model::clock::Clock;
use crate::model::disk::VirtualDisk;
use crate::model::guard::Guard;
use crate::model::ledger::{Answer, Replicated, Ticket};
use crate::model::postgres::Postgres;

pub type Node = Replica<Replicated, VirtualDisk>;

/// An operation that a driver carries out.
#[derive(Clone, Debug)]
pub struct Running {
    pub op: OpId,
    pub command: Command,
}

/// Who waits for a proposal, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// [`None`]: a person.
    pub id: Option<ProposalId>,
    pub until: u64,
}

/// What waits for the store's thread while that waits for the disk or is stopped.
#[derive(Debug)]
pub enum Input {
    Message(Box<Message>),
    Propose(Option<ProposalId>, Ticket),
}

/// The store's thread of one agent.
pub struct Store {
    pub member: sb_consensus::Member,
    pub disk: VirtualDisk,
    pub starts: u64,
    pub node: Option<Node>,
    pub asked: BTreeMap<sb_consensus::replica::ProposalId, Asked>,
    pub inbox: VecDeque<Input>,
    /// A sync is under way: these leave the server when it is done.
    pub busy: bool,
    pub held_messages: Vec<Message>,
    pub held_answers: Vec<(sb_consensus::replica::ProposalId, Answer)>,
    /// How many requests the state has carried out, once what it rests on is durable.
    pub applied: usize,
    pub ticks_missed: u32,
    /// How many faults keep its messages from the others and theirs from it.
    pub cut: u8,
    /// It led the group when last looked at.
    pub led: bool,
}

pub struct Server {
    pub name: ServerName,
    pub site: usize,
    pub up: bool,
    /// What was in its directories when they were lost.
    pub buried: Option<Box<Postgres>>,
    /// It never comes back.
    pub lost: bool,
    /// The agent's process exists.
    pub agent: bool,
    /// The agent is stopped (SIGSTOP); the guard and PostgreSQL are not.
    pub frozen: bool,
    /// The whole host stands still since then.
    pub suspended: Option<u64>,
    /// Its clock stands still with it.
    pub clock_sleeps: bool,
    /// It slept beyond its guard's deadline, or its clock slept too: until PostgreSQL is next killed it may run on for
    /// a moment, and only what others promised and the kernel's gate keep it from being heard.
    pub overslept: bool,
    /// Its clock stood still: until then a deadline from before may seem to lie ahead.
    pub distrusted_until: u64,
    /// How many faults keep the machine from hearing of the store.
    pub deaf: u8,
    /// How many faults make its WAL receiver slow.
    pub slow_receiver: u8,
    /// How many faults make its disk slow.
    pub slow_disk: u8,
    /// Rises with every start of the agent: what belongs to an earlier one is not delivered.
    pub run: u64,
    pub machine: Machine,
    pub config: Config,
    pub persisted: Persisted,
    pub clock: Clock,
    pub guard: Guard,
    pub postgres: Postgres,
    pub store: Store,
    /// How much of the record the machine has been told.
    pub told: usize,
    pub tell_due: bool,
    pub inbox: VecDeque<Event>,
    pub wake: Option<u64>,
    pub running: Option<Running>,
}

impl Server {
    /// Whether its machine and its store take part.
    pub fn agent_runs(&self) -> bool {
        self.up && self.agent && !self.frozen && self.suspended.is_none()
    }

    pub fn is_primary(&self) -> bool {
        self.up && self.postgres.role == Role::Primary
    }

    /// It runs on beyond its deadline because it, its clock or its guard stood still. Nobody can stop it meanwhile;
    /// what it can do is for the promises of others and for the kernel's gate to bound.
    pub fn stood_still(&self, now: u64) -> bool {
        self.suspended.is_some() || self.overslept || self.guard.stopped || now < self.distrusted_until
    }

    /// Whether what PostgreSQL answers reaches anybody at `now`: the host runs, and the kernel's gate, whose
    /// element lives as long as the guard's deadline says, is open.
    pub fn is_heard(&self, now: u64, fence_lead_ns: u64) -> bool {
        let gate = self.guard.armed.is_some_and(|a| now < self.clock.when(a.fence_at) + fence_lead_ns);
        self.suspended.is_none() && gate
    }

    pub fn guard_report(&self) -> GuardReport {
        let processes = if self.postgres.runs() { Processes::Running } else { Processes::Gone };
        GuardReport { armed: self.guard.armed, processes }
    }

    pub fn boot_time(&self, now: u64) -> BootTime {
        self.clock.read(now)
    }
}

pub fn name(index: usize) -> ServerName {
    ServerName::new(format!("s{index}")).expect("a short word")
}

pub fn index(name: &ServerName) -> usize {
    name.as_str()[1..].parse().expect("a name made by `name`")
}
