//! One machine, driven by hand.

pub use std::sync::Arc;
pub use std::time::Duration;

pub use sb_failover::mutant::Mutant;
pub use sb_failover::record::{
    Automatic, Durability, LAG_BYTES_MAX_DEFAULT, Member, Proof, SyncRecord, Transfer, TransferId,
    TransferKind,
};
pub use sb_failover::{
    Armed, BootTime, Broken, ClusterRecord, Command, Config, DataDirectory, Event, Follower, Founding,
    GuardReport, Incarnation, JournalEntry, Judgement, Machine, Observation, OpFailure, OpOutput, Persisted,
    Phase, Processes, ProposalResult, Rejection, RenewalNumber, RepairReason, Request, Role, Seq, Session,
    State, Term, Timings, Trigger,
};
pub use sb_pgtypes::{Lineage, Lsn, Position, SystemIdentifier, TimelineId};
pub use sb_topology::{ServerName, SiteName};

pub const OURS: SystemIdentifier = SystemIdentifier::new(7);
pub const FOREIGN: SystemIdentifier = SystemIdentifier::new(8);
pub const FIRST: Term = Term::new(1);

pub fn name(text: &str) -> ServerName {
    ServerName::new(text).unwrap()
}

pub fn member() -> Member {
    let site = SiteName::new("ravena").unwrap();
    Member { incarnation: Incarnation::new(1), site, priority: 0, promotable: true, sync_eligible: false }
}

pub fn position(bytes: u64) -> Position {
    Position { lineage: Lineage::first(), flushed: Lsn::new(bytes) }
}

/// The founder's first renewal.
pub fn first_renewal_of(holder: &str) -> Request {
    Request::Renew {
        holder: name(holder),
        incarnation: Incarnation::new(1),
        term: FIRST,
        renewal: RenewalNumber { session: Session::new(1), count: 1 },
        ttl_ms: 3_500,
        position: None,
        admissions: 0,
    }
}

/// A record in which `holder` was the founder and `us` and `other` are members.
pub fn founded_by(holder: &str) -> ClusterRecord {
    let mut record = ClusterRecord::default();
    for server in ["us", "other"] {
        record.apply(&Request::Register { server: name(server), member: member() }).unwrap();
    }
    let initialize = Request::Initialize {
        by: name(holder),
        incarnation: Incarnation::new(1),
        system_identifier: OURS,
        lineage: Lineage::first(),
        renewal: RenewalNumber::default(),
        ttl_ms: 3_500,
        durability: Durability::Async,
        number: 0,
        lag_bytes_max: LAG_BYTES_MAX_DEFAULT,
        automatic: Automatic::Allowed,
    };
    record.apply(&initialize).unwrap();
    record
}

/// `holder` leads `us`, `other`, b and c, each at a site of its own; a commit waits for one of `voters`.
pub fn synchronous(holder: &str, voters: &[&str]) -> ClusterRecord {
    let mut record = founded_by(holder);
    for server in ["us", "other", "b", "c"] {
        let site = if server == "us" { "ravena".into() } else { format!("site-{server}") };
        let site = SiteName::new(site).unwrap();
        let eligible = Member { site, sync_eligible: true, ..member() };
        let member = if server == "us" { member() } else { eligible };
        record.members.insert(name(server), member);
    }
    let founding = SyncRecord::founding(Durability::Strict, 1, name(holder), FIRST);
    record.sync = founding.settled(FIRST, name(holder), voters.iter().map(|v| name(v)).collect());
    record
}

/// A record in which the founder was the other server, and `us` has taken over since.
pub fn won_by_us() -> ClusterRecord {
    taken_over(founded_by("other"), "us")
}

/// The other server takes over whatever lease there is.
pub fn deposed(record: ClusterRecord) -> ClusterRecord {
    taken_over(record, "other")
}

pub fn taken_over(mut record: ClusterRecord, by: &str) -> ClusterRecord {
    let lease = record.lease.clone().unwrap();
    record.position = None;
    let request = Request::Takeover {
        by: name(by),
        incarnation: Incarnation::new(1),
        expect_term: lease.term,
        expect_seq: lease.seq,
        renewal: RenewalNumber::default(),
        ttl_ms: 3_500,
        position: Position { lineage: record.lineage.clone().unwrap().lineage, flushed: Lsn::new(9_000) },
        proof: Proof::LagBound,
    };
    record.apply(&request).unwrap();
    record
}

/// One machine whose commands succeed at once, unless they are held back.
pub struct Bench {
    pub machine: Machine,
    pub record: ClusterRecord,
    pub guard: GuardReport,
    pub postgres: Observation,
    pub now: BootTime,
    pub held: Vec<&'static str>,
    pub failing: Vec<&'static str>,
    pub moves: Vec<(State, Trigger)>,
    pub judged: Vec<Judgement>,
    /// Every command but the journal's, in order, also those that are held.
    pub commands: Vec<Command>,
    /// Every entry of the journal, each with how many commands came before it.
    pub told: Vec<(usize, JournalEntry)>,
}

impl Bench {
    pub fn new(founding: Founding, phase: Phase, role: Role, data: DataDirectory) -> Self {
        Self::mutated(founding, phase, role, data, None)
    }

    fn mutated(
        founding: Founding,
        phase: Phase,
        role: Role,
        data: DataDirectory,
        mutant: Option<Mutant>,
    ) -> Self {
        let config = Config {
            me: name("us"),
            member: member(),
            session: Session::new(1),
            founding,
            timings: Timings::default(),
        };
        let now = BootTime::since_boot(Duration::from_secs(100));
        let running = role != Role::Stopped;
        let processes = if running { Processes::Running } else { Processes::Gone };
        let position = running.then(|| position(1_000));
        let postgres =
            Observation { role, data, position, streaming_from: None, broken: None, followers: Vec::new() };
        Self {
            machine: Machine::new_mutated(
                config,
                Persisted { phase, promise: None, failsafe: None },
                now,
                mutant,
            ),
            record: ClusterRecord::default(),
            guard: GuardReport { armed: None, processes },
            postgres,
            now,
            held: Vec::new(),
            failing: Vec::new(),
            moves: Vec::new(),
            judged: Vec::new(),
            commands: Vec::new(),
            told: Vec::new(),
        }
    }

    pub fn joiner(phase: Phase, role: Role) -> Self {
        Self::new(Founding::Joiner, phase, role, DataDirectory::Present(OURS))
    }

    /// The holder of `FIRST`, its data promoted in that term.
    pub fn leader() -> Self {
        Self::leader_with(None)
    }

    pub fn leader_with(mutant: Option<Mutant>) -> Self {
        let (phase, data) = (Phase::Primary { term: FIRST }, DataDirectory::Present(OURS));
        let mut bench = Self::mutated(Founding::Joiner, phase, Role::Stopped, data, mutant);
        bench.record = founded_by("us");
        bench
    }

    pub fn begin(mut self) -> Self {
        self.tell(Event::Guard(self.guard));
        self.tell(Event::Postgres(self.postgres.clone()));
        self.show();
        self
    }

    pub fn show(&mut self) {
        self.tell(Event::Record(Arc::new(self.record.clone())));
    }

    pub fn show_record(&mut self, record: ClusterRecord) {
        self.record = record;
        self.show();
    }

    pub fn later(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds / 50 {
            self.now = self.now + Duration::from_millis(50);
            self.tell(Event::Timeout);
        }
    }

    pub fn tell(&mut self, event: Event) {
        self.machine.handle(event, self.now);
        while let Some(command) = self.machine.poll_command() {
            self.carry_out(command);
        }
    }

    pub fn carry_out(&mut self, command: Command) {
        match &command {
            Command::Journal(entry) => self.told.push((self.commands.len(), entry.clone())),
            _ => self.commands.push(command.clone()),
        }
        if self.held.contains(&command.name()) {
            return;
        }
        match &command {
            Command::Journal(JournalEntry::Moved { from, trigger, .. }) => self.moves.push((*from, *trigger)),
            Command::Journal(JournalEntry::Judged(judgement)) => self.judged.push(*judgement.clone()),
            Command::Propose { id, request } => {
                let outcome = self.record.apply(request);
                let result = outcome.map_or_else(ProposalResult::Rejected, |()| ProposalResult::Applied);
                self.tell(Event::ProposalDone { id: *id, result });
                self.show();
            }
            Command::ArmGuard { term, fence_at } => {
                self.guard.armed = Some(Armed { term: *term, fence_at: *fence_at });
                self.tell(Event::Guard(self.guard));
            }
            Command::Disarm { .. } => self.guard.armed = None,
            _ => self.finish(&command),
        }
    }

    pub fn finish(&mut self, command: &Command) {
        let Some(op) = command.op() else {
            return;
        };
        if self.failing.contains(&command.name()) {
            let failure = OpFailure::Failed { detail: "it does not work".into() };
            return self.tell(Event::Done { op, result: Err(failure) });
        }
        let here = self.postgres.position.clone().unwrap_or_else(|| position(1_000));
        let output = match command {
            Command::StartPrimary { .. } => {
                self.postgres_is(Role::Primary);
                OpOutput::At(here)
            }
            Command::StartStandby { .. } => {
                self.postgres_is(Role::Standby);
                OpOutput::Nothing
            }
            Command::Fence { .. } => {
                self.postgres_is(Role::Stopped);
                OpOutput::Nothing
            }
            Command::Promote { timeline, .. } => {
                let lineage = here.lineage.forked(here.flushed, *timeline).unwrap();
                self.postgres.position = Some(Position { lineage: lineage.clone(), flushed: here.flushed });
                self.postgres_is(Role::Primary);
                OpOutput::Promoted(lineage)
            }
            Command::Freeze { .. } | Command::StopPostgres { .. } => OpOutput::At(here),
            Command::SetSyncStandbys { sync, .. }
                if self.postgres.role == Role::Primary && !sync.names.is_empty() =>
            {
                OpOutput::Effective { at: here.flushed }
            }
            Command::InitDb { .. } => {
                OpOutput::Initialized { system_identifier: OURS, lineage: Lineage::first() }
            }
            _ => OpOutput::Nothing,
        };
        self.tell(Event::Done { op, result: Ok(output) });
        self.tell(Event::Guard(self.guard));
        self.tell(Event::Postgres(self.postgres.clone()));
    }

    pub fn postgres_is(&mut self, role: Role) {
        self.postgres.role = role;
        let gone = role == Role::Stopped;
        self.guard.processes = if gone { Processes::Gone } else { Processes::Running };
        if self.postgres.position.is_none() {
            self.postgres.position = Some(position(1_000));
        }
    }

    pub fn crash(&mut self) {
        self.postgres_is(Role::Stopped);
        self.tell(Event::Guard(self.guard));
        self.tell(Event::Postgres(self.postgres.clone()));
    }

    /// Where among all commands those of this name are.
    pub fn issued(&self, name: &str) -> Vec<usize> {
        (0..self.commands.len()).filter(|i| self.commands[*i].name() == name).collect()
    }

    pub fn seq(&self) -> Seq {
        self.record.lease.as_ref().unwrap().seq
    }

    #[track_caller]
    pub fn took(&self, from: State, trigger: Trigger) {
        assert!(self.moves.contains(&(from, trigger)), "{:?}, now {}", self.moves, self.machine.state());
    }

    #[track_caller]
    pub fn is(&self, state: State) {
        assert_eq!(self.machine.state(), state, "{:?}", self.moves);
    }
}

pub fn held(mut bench: Bench, commands: &[&'static str]) -> Bench {
    bench.held.extend(commands);
    bench
}
