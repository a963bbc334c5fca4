//! A start, a server without data, the founder, and repairs.

use sb_pgtypes::Lineage;

use crate::record::TTL_MS_MAX;
use crate::timings::ms;
use crate::{Command, DataDirectory, JournalEntry, Phase, RepairReason, Request, Role, Term, Trigger};

use super::work::Purpose;
use super::{AfterFence, Founding, Machine, ParkReason};

/// The founder's term.
const FIRST_TERM: Term = Term::new(1);

impl Machine {
    pub(super) fn step_starting(&mut self) {
        if self.config.founding == Founding::Witness {
            return self.go(Trigger::NoPostgres);
        }
        let (Some(guard), Some(postgres)) = (self.guard, self.postgres.clone()) else {
            return;
        };
        let running = !self.postgres_is_gone();
        match postgres.role {
            Role::Primary if running => return self.step_found_primary(guard.armed.map(|a| a.term)),
            // It does not answer yet: wait until it does, or until the guard's deadline.
            Role::Unknown | Role::Starting if running => return,
            Role::Primary | Role::Unknown | Role::Starting | Role::Standby | Role::Stopped => {}
        }
        // The record says whether this server is to be a primary or a standby: wait a moment for it.
        let patience = self.stage.since + ms(2 * self.timings().renew_ms);
        if self.record.is_none() && !self.reached(patience) {
            return;
        }
        if self.data_is_foreign() {
            self.parked = Some(ParkReason::ForeignData);
            return self.go(Trigger::WrongData);
        }
        if self.phase == Phase::Repairing {
            return self.go(Trigger::RepairUnfinished);
        }
        if self.founds_here(postgres.data) {
            return self.go(Trigger::MayFound);
        }
        if postgres.data == DataDirectory::Absent || self.phase == Phase::Initializing {
            return self.go(Trigger::NoData);
        }
        if self.lease_is_mine() {
            return self.resume_lease();
        }
        self.go(Trigger::DataFound);
    }

    /// The record names this server: goes on where its data stands.
    pub(super) fn resume_lease(&mut self) {
        let term = self.term();
        self.hold(term);
        let promoted = self.phase == Phase::Primary { term };
        self.go(if promoted { Trigger::LeaseMine } else { Trigger::LeaseMineUnpromoted });
    }

    /// PostgreSQL is writable at the start of an agent: right or wrong?
    fn step_found_primary(&mut self, armed: Option<Term>) {
        let Some(term) = armed else {
            return self.go_fence(Trigger::FoundUnlawful, AfterFence::Resume);
        };
        if self.record.is_none() {
            // The guard's deadline stands until the record is there.
            return;
        }
        if !self.lease_is_mine() || self.term() != term {
            return self.go_fence(Trigger::FoundUnlawful, AfterFence::Resume);
        }
        if let Some(armed) = self.guard.and_then(|g| g.armed) {
            let lead = ms(self.timings().fence_lead_ms);
            self.keeper.adopt(term, armed.fence_at + lead);
            self.adopt_deadline(term, armed.fence_at);
        }
        self.go(Trigger::Adopted);
    }

    pub(super) fn founds_here(&self, data: DataDirectory) -> bool {
        let founder = matches!(self.config.founding, Founding::Founder { .. });
        let unfounded = self.record.as_ref().is_some_and(|r| r.system_identifier.is_none());
        let own_data = match self.phase {
            Phase::Empty => data == DataDirectory::Absent,
            Phase::Initializing | Phase::Primary { term: FIRST_TERM } => true,
            Phase::Standby
            | Phase::Repairing
            | Phase::CatchingUp { .. }
            | Phase::Promoting { .. }
            | Phase::Primary { .. } => false,
        };
        founder && unfounded && own_data
    }

    /// Whether the data directory belongs to another cluster than the record.
    pub(super) fn data_is_foreign(&self) -> bool {
        let known = self.record.as_ref().and_then(|r| r.system_identifier);
        let here = self.postgres.as_ref().map(|p| p.data);
        let ours = matches!(self.phase, Phase::Initializing | Phase::Repairing);
        match (known, here) {
            (Some(known), Some(DataDirectory::Present(here))) => known != here && !ours,
            (None, _) | (_, Some(DataDirectory::Absent) | None) => false,
        }
    }

    pub(super) fn step_waiting(&mut self) {
        if self.lease_is_mine() {
            self.hold(self.term());
            return self.go_fence(Trigger::LeaseMineNoData, AfterFence::GiveBack { end: None, to: None });
        }
        if self.founds_here(DataDirectory::Absent) {
            return self.go(Trigger::MayFound);
        }
        if self.repair_source().is_some() {
            self.go(Trigger::SourceKnown);
        }
    }

    pub(super) fn step_initializing(&mut self) {
        if self.lease_is_mine() {
            return self.resume_lease();
        }
        if self.record.as_ref().is_some_and(|r| r.lease.is_some()) {
            self.parked = Some(ParkReason::NotTheFounder);
            return self.go(Trigger::WrongData);
        }
        let made = self.made_by_initdb();
        match (&self.phase, made) {
            (Phase::Empty, _) => self.begin(|op| Command::Persist { op, phase: Phase::Initializing }),
            (Phase::Initializing, None) => self.begin(|op| Command::InitDb { op }),
            (Phase::Initializing, Some(_)) => {
                self.begin(|op| Command::Persist { op, phase: Phase::Primary { term: FIRST_TERM } });
            }
            (_, Some(made)) => self.propose_initialize(made),
            (_, None) => {}
        }
    }

    fn made_by_initdb(&self) -> Option<(sb_pgtypes::SystemIdentifier, Lineage)> {
        if self.stage.initialized.is_some() {
            return self.stage.initialized.clone();
        }
        // After a restart between `initdb` and `Initialize` the directory itself says what it is.
        let complete = self.phase == Phase::Primary { term: FIRST_TERM };
        match self.postgres.as_ref().map(|p| p.data) {
            Some(DataDirectory::Present(number)) if complete => Some((number, Lineage::first())),
            Some(DataDirectory::Present(_) | DataDirectory::Absent) | None => None,
        }
    }

    fn propose_initialize(&mut self, (system_identifier, lineage): (sb_pgtypes::SystemIdentifier, Lineage)) {
        let Founding::Founder { durability, number, lag_bytes_max, automatic } = self.config.founding.clone()
        else {
            return;
        };
        let registered = self.record.as_ref().is_some_and(|r| r.members.contains_key(&self.config.me));
        if !registered || !self.may_ask(Purpose::Initialize) {
            return;
        }
        self.hold(FIRST_TERM);
        let renewal = self.keeper.next_number();
        let ttl_ms = self.timings().ttl_ms.min(TTL_MS_MAX);
        let (by, incarnation) = (self.config.me.clone(), self.config.member.incarnation);
        let id = self.propose(Request::Initialize {
            by,
            incarnation,
            system_identifier,
            lineage,
            renewal,
            ttl_ms,
            durability,
            number,
            lag_bytes_max,
            automatic,
        });
        self.keeper.propose(renewal, id, ttl_ms, self.now);
        self.asked(Purpose::Initialize, id);
    }

    /// A primary that has told its lineage.
    fn repair_source(&self) -> Option<sb_topology::ServerName> {
        let record = self.record.as_ref()?;
        let promoted = record.lineage.as_ref().is_some_and(|l| l.term == record.term());
        self.other_holder().filter(|_| promoted && record.members.contains_key(&self.config.me))
    }

    pub(super) fn step_repairing(&mut self) {
        if self.lease_is_mine() {
            self.hold(self.term());
            return self.go_fence(Trigger::LeaseMineNoData, AfterFence::GiveBack { end: None, to: None });
        }
        self.disarm();
        match (&self.phase, self.stage.copied) {
            (Phase::CatchingUp { .. } | Phase::Standby, true) => self.go(Trigger::Repaired),
            (Phase::Repairing, true) => self.persist_copied(),
            (Phase::Repairing, false) => self.copy(),
            (_, _) => self.begin(|op| Command::Persist { op, phase: Phase::Repairing }),
        }
    }

    fn copy(&mut self) {
        let Some(source) = self.repair_source() else {
            return;
        };
        if self.work.as_ref().is_some_and(|w| matches!(w.command, Command::Repair { .. })) {
            return self.watch_copy(&source);
        }
        if !self.idle() {
            return;
        }
        let reason = self.repair_reason();
        self.stage.failed = false;
        self.journal(JournalEntry::Repairing { source: source.clone() });
        self.begin(|op| Command::Repair { op, source, reason });
    }

    /// A copy from a server that is no longer primary is given up.
    fn watch_copy(&mut self, source: &sb_topology::ServerName) {
        if let Some(work) = &self.work
            && let Command::Repair { source: from, .. } = &work.command
            && from != source
            && !self.stage.failed
        {
            self.stage.failed = true;
            self.commands.push_back(Command::Cancel { op: work.op });
        }
    }

    /// What this server confirmed in an earlier life is at most what the primary had when the copy began.
    fn persist_copied(&mut self) {
        let recorded = self.record.as_ref().and_then(|r| r.position.clone());
        let until = self.stage.position.clone().or(recorded);
        let phase = until.map_or(Phase::Standby, |until| Phase::CatchingUp { until });
        self.begin(|op| Command::Persist { op, phase });
    }

    fn repair_reason(&self) -> RepairReason {
        let Some(postgres) = &self.postgres else {
            return RepairReason::Unfinished;
        };
        match (postgres.data, postgres.broken) {
            (DataDirectory::Absent, _) => RepairReason::NoData,
            (_, Some(crate::Broken::WalRemoved)) => RepairReason::WalRemoved,
            (_, Some(crate::Broken::Diverged)) => RepairReason::Diverged,
            (_, Some(crate::Broken::CannotStart)) => RepairReason::CannotStart,
            (_, None) if self.copy_has_left_the_line() => RepairReason::Diverged,
            (_, None) => RepairReason::Unfinished,
        }
    }
}
