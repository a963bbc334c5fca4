//! One server's machine: events in, commands out. Each state has one step function; a change of state goes
//! through [`crate::TABLE`].

mod answers;
mod boot;
mod election;
mod explain;
mod failsafe;
mod guard;
mod hold;
mod intake;
mod keeper;
mod lease;
mod pace;
mod primary;
mod promote;
mod rounds;
mod standby;
mod state;
mod sync;
mod watch;
mod work;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use sb_pgtypes::{Lineage, Position, SystemIdentifier, TimelineId};
use sb_topology::ServerName;

pub use explain::{Explanation, FailsafePart, Gate};
use serde::{Deserialize, Serialize};
pub use state::{ParkReason, State};

#[cfg(feature = "mutants")]
use crate::mutant::Mutant;
use crate::mutant::Rules;
use crate::record::{Automatic, Durability, Lease, Member, TransferId};
use crate::table::find;
use crate::trace::moment;
use crate::{
    BootTime, ClusterRecord, Command, Event, GuardReport, JournalEntry, Observation, Persisted, Phase,
    Promise, Session, Storage, Term, Timings, Trigger,
};
use answers::Answers;
use election::Judged;
use failsafe::FailsafeNews;
use guard::Told;
use hold::Hold;
use keeper::Keeper;
use pace::Pace;
pub use pace::PaceReason;
use sync::{Doubt, Setting};
use watch::Watch;
use work::{Asked, Purpose, Work};

/// How many changes of state one event may cause; more would be a circle in the rules.
const STEPS_MAX: usize = 16;

/// Whether this server makes the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Founding {
    /// This one does, when the record has none.
    Founder {
        /// What a commit shall wait for.
        durability: Durability,
        /// n of `ANY n (S)`; 0 for [`Durability::Async`].
        number: usize,
        /// The bound of automatic asynchronous failover.
        lag_bytes_max: u64,
        /// Whether a server may take over without a person's word.
        automatic: Automatic,
    },
    /// Another one does.
    Joiner,
    /// Another one does, and this one never has a copy: it has no PostgreSQL.
    Witness,
}

/// What a machine must know from the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// This server.
    pub me: ServerName,
    /// What it registers as.
    pub member: Member,
    /// This run of the agent: larger than every one before on this server.
    pub session: Session,
    /// Whether this server makes the database.
    pub founding: Founding,
    /// The times until the record says others.
    pub timings: Timings,
}

/// What is known only within one stay in a state.
#[derive(Debug, Serialize, Deserialize)]
struct Stage {
    number: u64,
    #[serde(with = "moment")]
    since: BootTime,
    /// An operation begun in this stay has failed.
    failed: bool,
    /// The operation that this state is for, begun in this stay, has succeeded.
    done: bool,
    /// The copy of a repair is complete.
    copied: bool,
    /// What a freeze promises.
    promise: Option<Promise>,
    /// Where the log ends: frozen, after recovery, after a clean shutdown.
    position: Option<Position>,
    lineage: Option<Lineage>,
    initialized: Option<(SystemIdentifier, Lineage)>,
    /// Since when an election is decided, or a restart has had a lease to run under.
    #[serde(with = "moment")]
    ready_since: Option<BootTime>,
    /// Since when the own report has been seen on record.
    #[serde(with = "moment")]
    reported: Option<BootTime>,
    /// What this server fetches, for which proof it claims, to whom it hands over.
    fetch: Option<(ServerName, Position)>,
    proof: Option<crate::record::Proof>,
    target: Option<ServerName>,
}

impl Stage {
    const fn new(number: u64, since: BootTime) -> Self {
        Self {
            number,
            since,
            failed: false,
            done: false,
            copied: false,
            promise: None,
            position: None,
            lineage: None,
            initialized: None,
            ready_since: None,
            reported: None,
            fetch: None,
            proof: None,
            target: None,
        }
    }
}

/// What to do with a lease once it is proven that no backend is left.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum AfterFence {
    /// Renew and start again, if it is still this server's.
    Resume,
    /// Give it back.
    GiveBack { end: Option<Position>, to: Option<ServerName> },
}

/// One server's part in failover.
///
/// `handle` an event, then take commands until `poll_command` gives none, then sleep until `poll_timeout` or
/// the next event. Does no I/O and holds no clock: the same calls give the same commands.
#[derive(Debug, Serialize, Deserialize)]
pub struct Machine {
    config: Config,
    #[serde(skip)]
    rules: Rules,
    state: State,
    stage: Stage,
    #[serde(with = "moment")]
    now: BootTime,
    #[serde(with = "moment")]
    wake: Option<BootTime>,
    commands: VecDeque<Command>,

    record: Option<Arc<ClusterRecord>>,
    guard: Option<GuardReport>,
    postgres: Option<Observation>,
    phase: Phase,
    promise: Option<Promise>,

    keeper: Keeper,
    watch: Watch,
    asks: BTreeMap<Purpose, Asked>,
    /// The newest number that this run has had a promotion take, whatever became of it.
    timeline_taken: Option<TimelineId>,
    work: Option<Work>,
    fence: Option<crate::OpId>,
    after_fence: AfterFence,
    #[serde(with = "moment")]
    retry_at: BootTime,
    ids: u64,

    /// From whom the running standby receives; [`None`] when that is not known.
    pointed: Option<Option<ServerName>>,
    /// What `synchronous_standby_names` is in effect; [`None`] when that is not known.
    setting: Option<Setting>,
    /// Who had reported when this server claimed the lease.
    witnesses: BTreeSet<ServerName>,
    /// How the standbys of a primary answer.
    answers: Answers,
    /// About changes of the synchronous state that may still be applied.
    doubt: Doubt,
    /// From which version the last change of the synchronous state was proposed.
    sync_asked: Option<u64>,
    /// What the guard was told last; [`None`] when it holds nothing of ours.
    told: Option<Told>,
    #[serde(with = "moment")]
    pause_seen: Option<(u64, BootTime)>,
    /// Since when this run knows of the transfer in the record.
    #[serde(with = "moment")]
    transfer_seen: Option<(u64, BootTime)>,
    parked: Option<ParkReason>,
    refusal: Option<String>,
    /// Under which promise a fetch has failed.
    unfetched: Option<Promise>,
    /// The transfer for which PostgreSQL could not be shut down.
    undrained: Option<TransferId>,
    /// What was promised to the holder of a lease.
    hold: Hold,
    failsafe_news: FailsafeNews,
    /// How long the own lease should be.
    pace: Pace,
    storage: Storage,
    /// How the succession of the lease at hand was judged last.
    judged: Option<Judged>,
}

impl Machine {
    /// A machine at the start of an agent's run. `persisted` is what its predecessor stored.
    #[must_use]
    pub fn new(config: Config, persisted: Persisted, now: BootTime) -> Self {
        Self::with_rules(config, persisted, now, Rules::default())
    }

    /// A machine with a rule broken on purpose.
    #[cfg(feature = "mutants")]
    #[doc(hidden)]
    #[must_use]
    pub fn new_mutated(config: Config, persisted: Persisted, now: BootTime, mutant: Option<Mutant>) -> Self {
        Self::with_rules(config, persisted, now, Rules::broken(mutant))
    }

    fn with_rules(config: Config, persisted: Persisted, now: BootTime, rules: Rules) -> Self {
        let keeper = Keeper::new(config.session, rules);
        Self {
            config,
            rules,
            state: State::Starting,
            stage: Stage::new(0, now),
            now,
            wake: None,
            commands: VecDeque::new(),
            record: None,
            guard: None,
            postgres: None,
            phase: persisted.phase,
            promise: persisted.promise,
            keeper,
            watch: Watch::default(),
            asks: BTreeMap::new(),
            timeline_taken: None,
            work: None,
            fence: None,
            after_fence: AfterFence::Resume,
            retry_at: now,
            ids: 0,
            pointed: None,
            setting: None,
            witnesses: BTreeSet::new(),
            answers: Answers::default(),
            doubt: Doubt::Predecessor,
            sync_asked: None,
            told: None,
            pause_seen: None,
            transfer_seen: None,
            parked: None,
            refusal: None,
            unfetched: None,
            undrained: None,
            hold: Hold::resume(persisted.failsafe, now),
            failsafe_news: FailsafeNews::default(),
            pace: Pace::default(),
            storage: Storage::Answers,
            judged: None,
        }
    }

    /// Takes an event. `now` never falls.
    pub fn handle(&mut self, event: Event, now: BootTime) {
        self.now = self.now.max(now);
        self.take(event);
        self.wake = None;
        for _ in 0..STEPS_MAX {
            let stage = self.stage.number;
            self.step();
            if self.stage.number == stage {
                break;
            }
        }
    }

    /// The next command; [`None`] when there is none until the next event.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// When `handle` must be called with [`Event::Timeout`] unless another event comes first.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<BootTime> {
        self.wake
    }

    /// Where the machine is.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    fn step(&mut self) {
        self.register();
        self.end_pause();
        self.keep_lease();
        match self.state {
            State::Starting => self.step_starting(),
            State::Waiting => self.step_waiting(),
            State::Initializing => self.step_initializing(),
            State::Repairing => self.step_repairing(),
            State::Following => self.step_following(),
            State::Freezing => self.step_freezing(),
            State::Frozen => self.step_frozen(),
            State::Fetching => self.step_fetching(),
            State::Claiming => self.step_claiming(),
            State::Elected => self.step_elected(),
            State::Promoting => self.step_promoting(),
            State::Recording | State::Reopening => self.step_opening(),
            State::Leading => self.step_leading(),
            State::Restarting => self.step_restarting(),
            State::Draining => self.step_draining(),
            State::Fencing => self.step_fencing(),
            State::Releasing => self.step_releasing(),
            State::Parked | State::Witnessing => {}
        }
    }

    /// Changes the state along the row of the table that `trigger` names.
    fn go(&mut self, trigger: Trigger) {
        let Some(row) = find(self.state, trigger) else {
            // Not a state to be in: a machine that doubts itself stops writing.
            debug_assert!(false, "no row for {trigger:?} in {}", self.state);
            return self.kill();
        };
        self.leave();
        self.commands.push_back(Command::Journal(JournalEntry::Moved {
            from: row.from,
            trigger,
            to: row.to,
        }));
        self.state = row.to;
        self.stage = Stage::new(self.stage.number + 1, self.now);
        self.refusal = None;
        self.asks.retain(|purpose, _| purpose.outlasts_a_state());
    }

    /// Kills PostgreSQL because of `trigger`, and notes what to do when it is proven dead.
    fn go_fence(&mut self, trigger: Trigger, after: AfterFence) {
        self.after_fence = after;
        self.go(trigger);
    }

    /// Ends what must not outlast a state.
    fn leave(&mut self) {
        if let Some(work) = &self.work
            && matches!(work.command, Command::Fetch { .. } | Command::StopPostgres { .. })
        {
            self.commands.push_back(Command::Cancel { op: work.op });
        }
    }

    fn journal(&mut self, entry: JournalEntry) {
        self.commands.push_back(Command::Journal(entry));
    }

    /// Journals why nobody takes over, once per reason.
    fn refuse(&mut self, reason: String) {
        if self.refusal.as_ref() != Some(&reason) {
            self.refusal = Some(reason.clone());
            self.journal(JournalEntry::Refused { reason });
        }
    }

    /// Asks to be called again at `at`, or earlier.
    fn wake_at(&mut self, at: BootTime) {
        self.wake = Some(self.wake.map_or(at, |w| w.min(at)));
    }

    /// Whether `at` has come; asks to be called then if it has not.
    fn reached(&mut self, at: BootTime) -> bool {
        if self.now < at {
            self.wake_at(at);
        }
        self.now >= at
    }

    fn timings(&self) -> &Timings {
        let in_force = self.record.as_ref().filter(|r| r.lease.is_some());
        in_force.map_or(&self.config.timings, |r| &r.timings)
    }

    fn lease(&self) -> Option<&Lease> {
        self.record.as_ref().and_then(|r| r.lease.as_ref())
    }

    fn term(&self) -> Term {
        self.record.as_ref().map_or(Term::default(), |r| r.term())
    }

    /// Whether the record says that this server, in this incarnation, holds the lease.
    fn lease_is_mine(&self) -> bool {
        self.lease().is_some_and(|l| {
            l.holder == self.config.me
                && l.incarnation == self.config.member.incarnation
                && l.released.is_none()
        })
    }

    /// The server that holds the lease, if it is another one.
    fn other_holder(&self) -> Option<ServerName> {
        self.record.as_ref().and_then(|r| r.holder()).filter(|h| **h != self.config.me).cloned()
    }
}
