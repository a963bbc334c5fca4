//! A whole cluster as one discrete-event simulation: everything that happens is an entry in one queue.

mod agent;
mod build;
mod clients;
mod events;
mod failsafe;
mod faults;
mod guard;
mod heal;
mod hosts;
mod membership;
mod operations;
mod people;
mod postgres;
mod queue;
mod store;
mod streaming;

use std::collections::{BTreeMap, BTreeSet};

use sb_consensus::replica::Message;
use sb_failover::mutant::Mutant;
use sb_failover::{State, Term, Trigger};

pub use clients::{Client, Confirmed};
pub use events::What;
pub use faults::Fault;

use crate::invariants::{Happening, Invariant};
use crate::model::ledger::Ledger;
use crate::model::network::Network;
use crate::model::postgres::Record;
use crate::profile::Profile;
use crate::rng::{MS, Rng};
use crate::server::Server;
use crate::tally::Tally;
use queue::Queue;

/// First a cluster that works, so that there is something to break.
pub const BEGIN_MS: u64 = 5_000;
/// Then faults.
pub const FAULTS_MS: u64 = 30_000;
/// Then calm, in which the cluster has to become whole again.
pub const CALM_MS: u64 = 25_000;
/// At least so long after whoever a person has named may take over.
pub const HELPED_CALM_MS: u64 = 10_000;

/// A rule was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// When.
    pub at_ms: u64,
    /// How.
    pub what: String,
}

pub struct World {
    pub profile: Profile,
    pub rng: Rng,
    pub now: u64,
    pub servers: Vec<Server>,
    pub network: Network,
    pub ledger: Ledger,
    pub clients: Vec<Client>,
    pub confirmed: Vec<Confirmed>,
    /// Transactions that a diverged server reported as left behind before its data was rewound or replaced.
    pub reported_lost: BTreeSet<Record>,
    /// Which server has a vote in the store when everything is as it should be.
    pub voters: Vec<bool>,
    pub moves: BTreeSet<(State, Trigger)>,
    pub events: u64,
    pub hash: u64,
    pub violation: Option<Violation>,
    /// Since when nothing goes wrong any more.
    pub calm_since: Option<u64>,
    /// Somebody's data directory was lost in this schedule.
    pub wiped: bool,
    /// When a person last named the next primary in the calm.
    pub helped_out: Option<u64>,
    /// What happened, in words, when asked for.
    pub trace: Option<Vec<String>>,
    /// What happened how often.
    pub tally: Tally,
    /// The term that a person sees, and since when it has had no primary with clients.
    watched: (Term, u64),
    /// The confirmed commits that no whole copy had any more when a person accepted that what was in lost directories is
    /// gone.
    pub accepted_lost: BTreeSet<Record>,
    /// How many faults struck, and how often people asked for something.
    pub troubles: u64,
    /// Questions of the failsafe under way.
    questions: BTreeMap<u64, failsafe::Question>,
    invariants: Vec<Box<dyn Invariant>>,
    steps_seen: usize,
    next_record: Record,
    queue: Queue,
    outbox: Vec<Message>,
}

impl World {
    /// Runs faults, then calm; gives the rule that was broken.
    pub fn run(&mut self) -> Option<Violation> {
        self.run_until(BEGIN_MS * MS);
        self.after(0, What::Fault);
        self.run_until((BEGIN_MS + FAULTS_MS) * MS);
        if self.violation.is_none() {
            self.heal_everything();
        }
        let end = (BEGIN_MS + FAULTS_MS + CALM_MS) * MS;
        self.run_until(end);
        if let Some(helped) = self.helped_out {
            self.run_until(end.max(helped + self.helped_ns() + HELPED_CALM_MS * MS));
        }
        self.tell(&Happening::End);
        self.violation.clone()
    }

    /// How long whoever a person has named may wait for reports.
    pub fn helped_ns(&self) -> u64 {
        let patience = self.profile.timings.patience_with_reports();
        u64::try_from(patience.as_nanos()).expect("some seconds")
    }

    fn run_until(&mut self, end: u64) {
        while self.violation.is_none()
            && let Some((at, what)) = self.queue.pop_until(end)
        {
            self.now = at;
            self.events += 1;
            self.hash = mix(self.hash ^ at ^ what.fingerprint());
            self.happen(what);
        }
        self.now = end;
    }

    fn happen(&mut self, what: What) {
        match what {
            What::AgentStarts { server, run } => self.start_agent(server, run),
            What::Tick { server, run } => self.tick(server, run),
            What::Message(message) => self.receive(message),
            What::Synced { server, run } => self.synced(server, run),
            What::Tell { server, run } => self.tell_record(server, run),
            What::Deliver { server, run, event } => self.hand_over(server, run, event),
            What::Wake { server, run, at } => self.wake(server, run, at),
            What::Observe { server } => self.observe(server),
            What::Connect { standby, connection } => self.connect(standby, connection),
            What::Stream { standby, connection, until } => self.stream(standby, connection, until),
            What::Flushed { primary, connection, standby, records } => {
                self.flushed(primary, connection, standby, records);
            }
            What::Client { client } => self.client(client),
            What::GuardFires { server, armed } => self.guard_fires(server, armed),
            What::Killed { server, run, op } => self.killed(server, run, op),
            What::Effect { server, run, op } => self.effect(server, run, op),
            What::TendMembership => self.tend_membership(),
            What::Fault => self.fault(),
            What::Strike { fault, lasts_ms } => self.strike(*fault, lasts_ms),
            What::Heal(fault) => self.heal(*fault),
            What::Ask { server, ask, question } => self.asked(server, ask, *question),
            What::Stored { server, run, op, promise } => self.stored(server, run, op, *promise),
            What::Late { server, ticket } => self.propose_late(server, ticket),
            What::GuardMissed { server } => self.miss_guard(server),
            What::Arrange => self.arrange(),
        }
    }

    pub fn after(&mut self, delay: u64, what: What) {
        self.queue.push(self.now + delay, what);
    }

    pub fn ns(&mut self, range_ms: (u64, u64)) -> u64 {
        self.rng.ns(range_ms)
    }

    /// True in `percent` of 100 cases while things go wrong.
    pub fn unlucky(&mut self, percent: u64) -> bool {
        self.network.lossy && self.rng.chance(percent)
    }

    pub fn new_record(&mut self) -> Record {
        self.next_record += 1;
        self.next_record
    }

    pub fn note(&mut self, text: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>9.4} {}", now as f64 / 1e9, text()));
        }
    }

    /// Shows `happening` to every invariant.
    pub fn tell(&mut self, happening: &Happening) {
        let mut invariants = std::mem::take(&mut self.invariants);
        for invariant in &mut invariants {
            if let Err(what) = invariant.see(self, happening) {
                self.violate(invariant.name(), what);
            }
        }
        self.invariants = invariants;
    }

    pub fn violate(&mut self, invariant: &'static str, what: String) {
        self.note(|| format!("VIOLATION {invariant}: {what}"));
        let at_ms = self.now / MS;
        self.violation.get_or_insert(Violation { invariant, at_ms, what });
    }

    pub fn count(&self) -> usize {
        self.servers.len()
    }

    /// Whether `a` and `b` reach each other and run.
    pub fn linked(&self, a: usize, b: usize) -> bool {
        let awake = |s: usize| self.servers[s].up && self.servers[s].suspended.is_none();
        awake(a) && awake(b) && (a == b || self.network.joins(a, b))
    }

    /// Whether what PostgreSQL of `server` answers reaches anybody. The kernel's gate is a part of the guard's fence.
    pub fn is_heard(&self, server: usize) -> bool {
        let s = &self.servers[server];
        let unguarded = self.profile.mutant == Some(Mutant::NoGuard) && s.suspended.is_none();
        unguarded || s.is_heard(self.now, self.profile.timings.fence_lead_ms * MS)
    }
}

impl World {
    /// What happened how often, with what is only known at the end.
    pub fn summary(&self) -> Tally {
        let mut tally = self.tally.clone();
        tally.note("schedules");
        tally.add("virtual ms", self.now / MS);
        tally.add("events", self.events);
        tally.add("writes confirmed", self.confirmed.len() as u64);
        let since = self.calm_since.unwrap_or_default();
        let back = self.confirmed.iter().find(|c| c.at > since).map_or(u64::MAX, |c| (c.at - since) / MS);
        let within = [1_000, 2_000, 5_000, 10_000, 18_000].into_iter().find(|limit| back <= *limit);
        tally.note(
            &within.map_or("calm: no writes".into(), |ms| format!("calm: writes back within {ms:>5} ms")),
        );
        let record = self.ledger.newest();
        tally.add("terms", record.term().get());
        tally.add("requests", self.ledger.len() as u64);
        record.history.iter().for_each(|h| tally.note(&format!("hand-over: {:?}", h.reason)));
        tally
    }
}

/// Folds one number into a hash of everything that happened.
pub const fn mix(number: u64) -> u64 {
    let z = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB)
}
