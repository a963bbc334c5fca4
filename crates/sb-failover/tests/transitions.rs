//! The rows of the table that need a coincidence: each is brought about by hand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::time::Duration;

use sb_failover::record::{
    Durability, LAG_BYTES_MAX_DEFAULT, Member, Proof, Transfer, TransferId, TransferKind,
};
use sb_failover::{
    Armed, BootTime, ClusterRecord, Command, Config, DataDirectory, Event, Founding, GuardReport,
    Incarnation, JournalEntry, Machine, Observation, OpFailure, OpOutput, Persisted, Phase, Processes,
    ProposalResult, RenewalNumber, Request, Role, Seq, Session, State, Term, Timings, Trigger,
};
use sb_pgtypes::{Lineage, Lsn, Position, SystemIdentifier, TimelineId};
use sb_topology::{ServerName, SiteName};

const OURS: SystemIdentifier = SystemIdentifier::new(7);
const FOREIGN: SystemIdentifier = SystemIdentifier::new(8);
const FIRST: Term = Term::new(1);

fn name(text: &str) -> ServerName {
    ServerName::new(text).unwrap()
}

fn member() -> Member {
    let site = SiteName::new("ravena").unwrap();
    Member { incarnation: Incarnation::new(1), site, priority: 0, promotable: true, sync_eligible: false }
}

fn position(bytes: u64) -> Position {
    Position { lineage: Lineage::first(), flushed: Lsn::new(bytes) }
}

/// A record in which `holder` was the founder and `us` and `other` are members.
fn founded_by(holder: &str) -> ClusterRecord {
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
    };
    record.apply(&initialize).unwrap();
    record
}

/// The other server takes over whatever lease there is.
fn deposed(mut record: ClusterRecord) -> ClusterRecord {
    let lease = record.lease.clone().unwrap();
    record.position = None;
    let request = Request::Takeover {
        by: name("other"),
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
struct Bench {
    machine: Machine,
    record: ClusterRecord,
    guard: GuardReport,
    postgres: Observation,
    now: BootTime,
    held: Vec<&'static str>,
    failing: Vec<&'static str>,
    moves: Vec<(State, Trigger)>,
}

impl Bench {
    fn new(founding: Founding, phase: Phase, role: Role, data: DataDirectory) -> Self {
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
            machine: Machine::new(config, Persisted { phase, promise: None }, now),
            record: ClusterRecord::default(),
            guard: GuardReport { armed: None, processes },
            postgres,
            now,
            held: Vec::new(),
            failing: Vec::new(),
            moves: Vec::new(),
        }
    }

    fn joiner(phase: Phase, role: Role) -> Self {
        Self::new(Founding::Joiner, phase, role, DataDirectory::Present(OURS))
    }

    /// The holder of `FIRST`, its data promoted in that term.
    fn leader() -> Self {
        let mut bench = Self::joiner(Phase::Primary { term: FIRST }, Role::Stopped);
        bench.record = founded_by("us");
        bench
    }

    fn begin(mut self) -> Self {
        self.tell(Event::Guard(self.guard));
        self.tell(Event::Postgres(self.postgres.clone()));
        self.show();
        self
    }

    fn show(&mut self) {
        self.tell(Event::Record(Arc::new(self.record.clone())));
    }

    fn show_record(&mut self, record: ClusterRecord) {
        self.record = record;
        self.show();
    }

    fn later(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds / 50 {
            self.now = self.now + Duration::from_millis(50);
            self.tell(Event::Timeout);
        }
    }

    fn tell(&mut self, event: Event) {
        self.machine.handle(event, self.now);
        while let Some(command) = self.machine.poll_command() {
            self.carry_out(command);
        }
    }

    fn carry_out(&mut self, command: Command) {
        if self.held.contains(&command.name()) {
            return;
        }
        match &command {
            Command::Journal(JournalEntry::Moved { from, trigger, .. }) => self.moves.push((*from, *trigger)),
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

    fn finish(&mut self, command: &Command) {
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
            Command::Promote { .. } => {
                let lineage = here.lineage.forked(here.flushed, TimelineId::try_from(2).unwrap()).unwrap();
                self.postgres.position = Some(Position { lineage: lineage.clone(), flushed: here.flushed });
                self.postgres_is(Role::Primary);
                OpOutput::Promoted(lineage)
            }
            Command::Freeze { .. } | Command::StopPostgres { .. } => OpOutput::At(here),
            Command::InitDb { .. } => {
                OpOutput::Initialized { system_identifier: OURS, lineage: Lineage::first() }
            }
            _ => OpOutput::Nothing,
        };
        self.tell(Event::Done { op, result: Ok(output) });
        self.tell(Event::Guard(self.guard));
        self.tell(Event::Postgres(self.postgres.clone()));
    }

    fn postgres_is(&mut self, role: Role) {
        self.postgres.role = role;
        let gone = role == Role::Stopped;
        self.guard.processes = if gone { Processes::Gone } else { Processes::Running };
        if self.postgres.position.is_none() {
            self.postgres.position = Some(position(1_000));
        }
    }

    fn crash(&mut self) {
        self.postgres_is(Role::Stopped);
        self.tell(Event::Guard(self.guard));
        self.tell(Event::Postgres(self.postgres.clone()));
    }

    #[track_caller]
    fn took(&self, from: State, trigger: Trigger) {
        assert!(self.moves.contains(&(from, trigger)), "{:?}, now {}", self.moves, self.machine.state());
    }

    #[track_caller]
    fn is(&self, state: State) {
        assert_eq!(self.machine.state(), state, "{:?}", self.moves);
    }
}

fn held(mut bench: Bench, commands: &[&'static str]) -> Bench {
    bench.held.extend(commands);
    bench
}

#[test]
fn another_clusters_data_is_left_alone() {
    let mut bench =
        Bench::new(Founding::Joiner, Phase::Standby, Role::Stopped, DataDirectory::Present(FOREIGN));
    bench.record = founded_by("other");
    let bench = bench.begin();
    bench.took(State::Starting, Trigger::WrongData);
    assert!(bench.machine.explain(bench.now).next.contains("systemctl restart sb-agent"));
}

#[test]
fn another_clusters_data_is_left_alone_when_the_record_comes_late() {
    let mut bench =
        Bench::new(Founding::Joiner, Phase::Standby, Role::Stopped, DataDirectory::Present(FOREIGN));
    bench.held.push("StartStandby");
    let mut bench = bench.begin();
    bench.is(State::Following);
    bench.show_record(founded_by("other"));
    bench.took(State::Following, Trigger::WrongData);
}

#[test]
fn a_founder_that_was_not_the_first_asks_for_a_person() {
    let founder = Founding::Founder { durability: Durability::Async, number: 0, lag_bytes_max: 1 };
    let bench = Bench::new(founder, Phase::Empty, Role::Stopped, DataDirectory::Absent);
    let mut bench = held(bench, &["InitDb"]).begin();
    bench.is(State::Initializing);
    bench.show_record(founded_by("other"));
    bench.took(State::Initializing, Trigger::WrongData);
}

#[test]
fn a_founder_waits_for_the_store_before_it_makes_a_database() {
    let founder = Founding::Founder { durability: Durability::Async, number: 0, lag_bytes_max: 1 };
    let mut bench = Bench::new(founder, Phase::Empty, Role::Stopped, DataDirectory::Absent);
    bench.tell(Event::Guard(bench.guard));
    bench.tell(Event::Postgres(bench.postgres.clone()));
    bench.later(2_000);
    bench.is(State::Waiting);
    bench.show();
    bench.took(State::Waiting, Trigger::MayFound);
    bench.is(State::Leading);
}

#[test]
fn a_writable_postgresql_without_a_deadline_is_killed_at_once() {
    let mut bench = Bench::joiner(Phase::Primary { term: FIRST }, Role::Primary);
    bench.record = founded_by("us");
    bench.begin().took(State::Starting, Trigger::FoundUnlawful);
}

#[test]
fn a_standby_that_turns_out_writable_is_killed_at_once() {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = founded_by("other");
    let mut bench = bench.begin();
    bench.postgres_is(Role::Primary);
    bench.tell(Event::Postgres(bench.postgres.clone()));
    bench.took(State::Following, Trigger::FoundUnlawful);
}

#[test]
fn a_holder_without_data_gives_the_lease_back() {
    let mut bench = Bench::new(Founding::Joiner, Phase::Empty, Role::Stopped, DataDirectory::Absent);
    bench.record = founded_by("us");
    let bench = bench.begin();
    bench.took(State::Waiting, Trigger::LeaseMineNoData);
    assert!(bench.record.lease.as_ref().unwrap().released.is_some());
}

#[test]
fn a_holder_in_the_middle_of_a_repair_gives_the_lease_back() {
    let mut bench = Bench::joiner(Phase::Repairing, Role::Stopped);
    bench.record = founded_by("us");
    bench.begin().took(State::Repairing, Trigger::LeaseMineNoData);
}

#[test]
fn a_holder_that_boots_goes_on_where_its_data_stands() {
    for (phase, trigger) in [
        (Phase::Primary { term: FIRST }, Trigger::LeaseMine),
        (Phase::Standby, Trigger::LeaseMineUnpromoted),
        (Phase::Promoting { term: FIRST }, Trigger::LeaseMineUnpromoted),
    ] {
        let mut bench = Bench::joiner(phase.clone(), Role::Stopped);
        bench.record = founded_by("us");
        let bench = bench.begin();
        bench.took(State::Starting, trigger);
        // Without the record it is a read-only standby first.
        let mut late = Bench::joiner(phase, Role::Stopped);
        late.tell(Event::Guard(late.guard));
        late.tell(Event::Postgres(late.postgres.clone()));
        late.later(2_000);
        late.is(State::Following);
        assert_eq!(late.postgres.role, Role::Standby);
        late.show_record(founded_by("us"));
        late.took(State::Following, trigger);
    }
}

#[test]
fn without_the_store_an_old_primary_starts_read_only_at_most() {
    let bench = Bench::leader();
    let mut bench = held(bench, &["Propose"]).begin();
    bench.later(60_000);
    bench.is(State::Restarting);
    assert_eq!(bench.postgres.role, Role::Standby);
}

#[test]
fn a_winner_whose_guard_does_not_answer_gives_the_lease_back() {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = founded_by("us");
    let mut bench = held(bench, &["ArmGuard"]).begin();
    bench.is(State::Elected);
    bench.later(16_000);
    bench.took(State::Elected, Trigger::PromotionFailed);
    assert_eq!(bench.postgres.role, Role::Standby);
}

#[test]
fn a_winner_that_is_deposed_before_it_promotes_follows() {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = founded_by("us");
    let mut bench = held(bench, &["ArmGuard"]).begin();
    bench.show_record(deposed(bench.record.clone()));
    bench.took(State::Elected, Trigger::Deposed);
}

fn promoting() -> Bench {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = founded_by("us");
    let bench = held(bench, &["Promote"]).begin();
    bench.is(State::Promoting);
    bench
}

#[test]
fn a_promotion_that_outlives_its_lease_is_killed() {
    let mut bench = promoting();
    bench.held.push("Propose");
    bench.later(4_000);
    bench.took(State::Promoting, Trigger::DeadlinePassed);
}

#[test]
fn a_promotion_is_killed_when_another_server_has_the_lease() {
    let mut bench = promoting();
    bench.show_record(deposed(bench.record.clone()));
    bench.took(State::Promoting, Trigger::Deposed);
}

#[test]
fn a_promotion_that_hangs_gives_the_lease_back() {
    let mut bench = promoting();
    bench.later(16_000);
    bench.took(State::Promoting, Trigger::PromotionFailed);
    bench.took(State::Fencing, Trigger::ProvenGiveBack);
}

#[test]
fn a_new_primary_is_killed_when_another_server_has_the_lease() {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = founded_by("us");
    let mut bench = held(bench, &["OpenClients"]).begin();
    bench.is(State::Recording);
    bench.show_record(deposed(bench.record.clone()));
    bench.took(State::Recording, Trigger::Deposed);
}

#[test]
fn a_primary_is_killed_when_another_server_has_the_lease() {
    let mut bench = Bench::leader().begin();
    bench.is(State::Leading);
    bench.show_record(deposed(bench.record.clone()));
    bench.took(State::Leading, Trigger::Deposed);
    assert!(bench.moves.contains(&(State::Fencing, Trigger::ProvenNotMine)));
}

#[test]
fn a_primary_that_cannot_be_restarted_gives_the_lease_back() {
    let mut bench = Bench::leader();
    bench.failing.push("StartPrimary");
    let mut bench = bench.begin();
    bench.later(6_000);
    bench.took(State::Restarting, Trigger::RestartFailed);
    bench.took(State::Releasing, Trigger::GivenBack);
}

fn reopening() -> Bench {
    let bench = held(Bench::leader(), &["OpenClients"]).begin();
    bench.is(State::Reopening);
    bench
}

#[test]
fn a_primary_that_crashes_before_clients_are_in_is_restarted() {
    let mut bench = reopening();
    bench.crash();
    bench.took(State::Reopening, Trigger::PostgresGone);
}

#[test]
fn a_restarted_primary_is_killed_when_another_server_has_the_lease() {
    let mut bench = reopening();
    bench.show_record(deposed(bench.record.clone()));
    bench.took(State::Reopening, Trigger::Deposed);
}

#[test]
fn a_draining_primary_is_killed_when_its_lease_is_gone_or_over() {
    let draining = || {
        let bench = held(Bench::leader(), &["StopPostgres"]);
        let mut bench = bench.begin();
        let kind = TransferKind::Failover { accept_data_loss_bytes: 0 };
        let transfer = Transfer { id: TransferId(1), to: Some(name("other")), kind, by: "a person".into() };
        bench.record.apply(&Request::RequestTransfer { transfer }).unwrap();
        bench.show();
        bench.is(State::Draining);
        bench
    };
    let mut bench = draining();
    bench.show_record(deposed(bench.record.clone()));
    bench.took(State::Draining, Trigger::Deposed);
    let mut bench = draining();
    bench.held.push("Propose");
    bench.later(4_000);
    bench.took(State::Draining, Trigger::DeadlinePassed);
}

#[test]
fn a_switchover_to_a_standby_that_does_not_stream_is_refused() {
    let mut bench = Bench::leader().begin();
    let transfer = Transfer {
        id: TransferId(1),
        to: Some(name("other")),
        kind: TransferKind::Switchover,
        by: "me".into(),
    };
    bench.record.apply(&Request::RequestTransfer { transfer }).unwrap();
    bench.show();
    bench.is(State::Leading);
    assert_eq!(bench.record.transfer, None);
}

#[test]
fn a_shorter_lease_is_not_proposed_before_the_guard_has_the_earlier_deadline() {
    let mut bench = Bench::leader().begin();
    let timings = Timings { ttl_ms: 2_000, ..Timings::default() };
    bench.record.apply(&Request::SetTimings { timings, lag_bytes_max: 0 }).unwrap();
    bench.held.push("ArmGuard");
    bench.show();
    bench.later(600);
    assert_eq!(bench.record.lease.as_ref().unwrap().ttl_ms, 3_500);
    bench.held.clear();
    let lower = bench.now + Duration::from_millis(1_000);
    bench.guard.armed = Some(Armed { term: FIRST, fence_at: lower });
    bench.tell(Event::Guard(bench.guard));
    bench.later(50);
    assert_eq!(bench.record.lease.as_ref().unwrap().ttl_ms, 2_000);
}

#[test]
fn a_report_for_an_older_renewal_is_refused() {
    let mut record = founded_by("other");
    let report = |seq| Request::Report {
        server: name("us"),
        incarnation: Incarnation::new(1),
        term: FIRST,
        seq: Seq::new(seq),
        position: position(10),
    };
    assert!(record.apply(&report(0)).is_ok());
    let renew = Request::Renew {
        holder: name("other"),
        incarnation: Incarnation::new(1),
        term: FIRST,
        renewal: RenewalNumber { session: Session::new(1), count: 1 },
        ttl_ms: 3_500,
        position: None,
    };
    assert!(record.apply(&renew).is_ok());
    assert!(record.reports.is_empty());
    assert!(record.apply(&report(0)).is_err());
}
