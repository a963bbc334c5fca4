//! What events tell: facts are noted here, decisions are taken in the steps.

use std::sync::Arc;

use crate::{
    ClusterRecord, Command, DataDirectory, Event, JournalEntry, Observation, OpFailure, OpId, OpOutput,
    Processes, ProposalId, ProposalResult, Role,
};

use super::sync::Setting;
use super::work::Work;
use super::{Machine, State};
use crate::timings::ms;

impl Machine {
    pub(super) fn take(&mut self, event: Event) {
        match event {
            Event::Record(record) => self.take_record(record),
            Event::ProposalDone { id, result } => self.take_answer(id, result),
            Event::Postgres(observation) => self.take_observation(observation),
            Event::Done { op, result } => self.take_end(op, result),
            Event::Guard(report) => self.take_guard(report),
            Event::GuardLost => self.lose_guard(),
            Event::FailsafeAsked { ask, question } => self.take_failsafe_question(ask, question),
            Event::FailsafeAnswered { round, from, answer } => {
                self.take_failsafe_answer(round, &from, answer);
            }
            Event::Timeout => {}
            Event::Storage(storage) => self.storage = storage,
        }
    }

    fn take_observation(&mut self, observation: Observation) {
        let role = observation.role;
        self.postgres = Some(observation);
        match role {
            Role::Primary => self.look_at_followers(),
            Role::Stopped | Role::Standby => self.answers.forget(),
            Role::Starting | Role::Unknown => {}
        }
    }

    fn take_record(&mut self, record: Arc<ClusterRecord>) {
        let mut counted = None;
        if let Some(lease) = &record.lease {
            self.watch.look(lease, self.now);
            // The own number in the record is as good as an answer (L1).
            if lease.holder == self.config.me {
                counted = self.keeper.seen(lease.renewal, self.now);
            }
        }
        match (&record.pause, self.pause_seen) {
            (None, _) => self.pause_seen = None,
            (Some(pause), Some((id, _))) if pause.id == id => {}
            (Some(pause), _) => self.pause_seen = Some((pause.id, self.now)),
        }
        let asked = record.transfer.as_ref().map(|t| t.id.0);
        if self.transfer_seen.map(|(id, _)| id) != asked {
            self.transfer_seen = asked.map(|id| (id, self.now));
        }
        if let Some(before) = self.record.replace(Arc::clone(&record)) {
            self.journal_sync(&before.sync, &record.sync);
        }
        if let Some(judged) = &mut self.judged {
            judged.at_hand = false;
        }
        if let Some(counted) = counted {
            self.measure_renewal(counted);
        }
    }

    fn take_answer(&mut self, id: ProposalId, result: ProposalResult) {
        if let Some(counted) = self.keeper.answered(id, &result, self.now) {
            self.measure_renewal(counted);
        }
        for asked in self.asks.values_mut().filter(|a| a.id == id) {
            asked.open = false;
        }
        if let ProposalResult::Rejected(reason) = result {
            let takeover = self.asks.get(&super::Purpose::Takeover).is_some_and(|a| a.id == id);
            if takeover && self.state == State::Claiming {
                self.stage.failed = true;
            }
            self.journal(JournalEntry::Rejected { reason });
        }
    }

    fn take_end(&mut self, op: OpId, result: Result<OpOutput, OpFailure>) {
        if self.fence == Some(op) {
            self.fence = None;
            return self.take_fence_end(result);
        }
        if self.take_failsafe_end(op, &result) {
            return;
        }
        let Some(work) = self.work.take_if(|w| w.op == op) else {
            return;
        };
        let here = work.stage == self.stage.number;
        match result {
            Ok(output) => {
                // What is persisted on the way is not what a state is for.
                let means = matches!(work.command, Command::Persist { .. } | Command::SetSyncStandbys { .. });
                self.stage.done |= here && !means;
                self.take_success(work, output);
            }
            Err(failure) => {
                self.stage.failed |= here;
                self.take_failure(&work, &failure);
            }
        }
    }

    fn take_fence_end(&mut self, result: Result<OpOutput, OpFailure>) {
        match result {
            Ok(_) => {
                self.work = None;
                self.stage.done = true;
                self.postgres_is(Role::Stopped);
                self.pointed = None;
                self.setting = None;
                let term = self.keeper.term;
                self.journal(JournalEntry::Fenced { term });
            }
            Err(failure) => {
                self.retry_at = self.now + ms(self.timings().retry_ms);
                self.journal(JournalEntry::OperationFailed {
                    operation: "Fence".into(),
                    detail: failure.to_string(),
                });
            }
        }
    }

    /// Notes what an operation that succeeded has made of PostgreSQL, without waiting for an observation.
    fn postgres_is(&mut self, role: Role) {
        let processes = if role == Role::Stopped { Processes::Gone } else { Processes::Running };
        if let Some(guard) = &mut self.guard {
            guard.processes = processes;
        }
        if let Some(postgres) = &mut self.postgres
            && postgres.role != role
        {
            postgres.role = role;
            self.answers.forget();
            postgres.position = None;
            postgres.followers.clear();
            postgres.streaming_from = None;
            postgres.broken = None;
        }
    }

    fn take_success(&mut self, work: Work, output: OpOutput) {
        let here = work.stage == self.stage.number;
        match work.command.clone() {
            Command::Persist { phase, .. } => self.phase = phase,
            Command::StorePromise { promise, .. } => self.promise = Some(promise),
            Command::StartPrimary { sync, .. } => {
                self.postgres_is(Role::Primary);
                self.pointed = None;
                self.setting = Some(Setting::new(sync, &output));
            }
            Command::StartStandby { upstream, .. } => {
                self.postgres_is(Role::Standby);
                self.pointed = Some(upstream);
                self.setting = None;
            }
            Command::Follow { upstream, .. } => self.pointed = Some(upstream),
            Command::Freeze { .. } | Command::Fetch { .. } => self.pointed = Some(None),
            Command::SetSyncStandbys { sync, .. } => self.setting = Some(Setting::new(sync, &output)),
            Command::Promote { .. } => {
                self.postgres_is(Role::Primary);
                self.pointed = None;
                // What was written on the standby counts when the primary has been seen to wait for it.
                self.setting = None;
            }
            Command::StopPostgres { .. } => self.postgres_is(Role::Stopped),
            Command::Repair { .. } => {
                self.postgres_is(Role::Stopped);
                self.data_is_here();
                self.stage.copied |= here;
            }
            Command::InitDb { .. } => self.data_is_here(),
            Command::OpenClients { .. }
            | Command::Fence { .. }
            | Command::Propose { .. }
            | Command::ArmGuard { .. }
            | Command::Disarm { .. }
            | Command::Cancel { .. }
            | Command::Journal(_)
            | Command::AskFailsafe { .. }
            | Command::AnswerFailsafe { .. }
            | Command::StoreFailsafe { .. } => {}
        }
        // A standby's start says nothing about where it will stand still.
        let moving = matches!(work.command, Command::StartStandby { .. } | Command::Follow { .. });
        if here && !moving {
            match output {
                OpOutput::At(position) => self.stage.position = Some(position),
                OpOutput::Promoted(lineage) => self.stage.lineage = Some(lineage),
                OpOutput::Initialized { system_identifier, lineage } => {
                    self.stage.initialized = Some((system_identifier, lineage));
                }
                OpOutput::Nothing | OpOutput::Effective { .. } => {}
            }
        }
    }

    /// A copy or a new cluster has the number that the record knows, or gives it to it.
    fn data_is_here(&mut self) {
        let known = self.record.as_ref().and_then(|r| r.system_identifier);
        let Some(postgres) = &mut self.postgres else {
            return;
        };
        // What was said of the copy before is not true of this one.
        postgres.broken = None;
        if let Some(number) = known {
            postgres.data = DataDirectory::Present(number);
        }
    }

    fn take_failure(&mut self, work: &Work, failure: &OpFailure) {
        self.retry_at = self.now + ms(self.timings().retry_ms);
        match &work.command {
            // Where it receives from, or what it waits for, is not known until the next success.
            Command::Follow { .. }
            | Command::StartStandby { .. }
            | Command::Freeze { .. }
            | Command::Fetch { .. } => self.pointed = None,
            Command::SetSyncStandbys { .. } | Command::StartPrimary { .. } => self.setting = None,
            // Whether it still serves or is half-way down is what the next observation says.
            Command::StopPostgres { .. } => {
                if let Some(postgres) = &mut self.postgres {
                    postgres.role = Role::Unknown;
                }
            }
            Command::Persist { .. }
            | Command::StorePromise { .. }
            | Command::Promote { .. }
            | Command::Repair { .. }
            | Command::InitDb { .. }
            | Command::OpenClients { .. }
            | Command::Fence { .. }
            | Command::Propose { .. }
            | Command::ArmGuard { .. }
            | Command::Disarm { .. }
            | Command::Cancel { .. }
            | Command::Journal(_)
            | Command::AskFailsafe { .. }
            | Command::AnswerFailsafe { .. }
            | Command::StoreFailsafe { .. } => {}
        }
        let operation = work.command.name().to_owned();
        self.journal(JournalEntry::OperationFailed { operation, detail: failure.to_string() });
    }
}
