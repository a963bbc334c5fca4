//! What commands do to the models: the guard, PostgreSQL, the disk.

use sb_failover::mutant::Mutant;
use sb_failover::{Armed, Command, Event, OpFailure, OpId, OpOutput, Role};
use sb_pgtypes::Lineage;

use crate::invariants::Happening;
use crate::postgres::lsn;
use crate::profile::MS;
use crate::server::{Guard, Running, index};
use crate::world::{SYSTEM, What, World};

type End = Result<OpOutput, OpFailure>;

fn failed(detail: &str) -> End {
    Err(OpFailure::Failed { detail: detail.into() })
}

impl World {
    pub fn operate(&mut self, server: usize, command: Command) {
        self.note(|| format!("s{server} {command:?}"));
        match &command {
            Command::ArmGuard { term, fence_at } => {
                self.arm(server, Armed { term: *term, fence_at: *fence_at })
            }
            Command::Disarm { term } => {
                let guard = &mut self.servers[server].guard;
                guard.armed = guard.armed.filter(|a| a.term != *term);
                self.report(server);
            }
            Command::Fence { op } => {
                self.cancel(server);
                let run = self.servers[server].run;
                let delay = self.ns(self.profile.kill_ms);
                self.after(delay, What::Killed { server, run, op: Some(*op) });
            }
            Command::Cancel { op } => {
                if self.servers[server].running.as_ref().is_some_and(|r| r.op == *op) {
                    self.cancel(server);
                }
            }
            Command::Propose { .. } | Command::Journal(_) => {}
            Command::AskFailsafe { round, members, question } => {
                self.ask_members(server, *round, members, question);
            }
            Command::AnswerFailsafe { ask, answer } => self.answer_holder(server, *ask, answer.clone()),
            Command::StoreFailsafe { op, promise } => self.store_failsafe(server, *op, promise),
            operation => {
                if let Some(op) = operation.op() {
                    self.begin(server, op, command);
                }
            }
        }
    }

    fn begin(&mut self, server: usize, op: OpId, command: Command) {
        assert!(self.servers[server].running.is_none(), "two operations at a time on s{server}: {command:?}");
        let delay = match &command {
            Command::Promote { .. } => self.ns(self.profile.promote_ms),
            Command::StartPrimary { .. } | Command::StartStandby { .. } | Command::StopPostgres { .. } => {
                self.ns(self.profile.start_ms)
            }
            Command::Repair { .. } => self.ns((300, 2_000)),
            Command::InitDb { .. } => self.ns((300, 600)),
            Command::Fetch { .. } => self.ns((5, 300)),
            _ => self.ns((0, 10)),
        };
        if matches!(command, Command::Repair { .. } | Command::InitDb { .. }) {
            let postgres = &mut self.servers[server].postgres;
            postgres.kill();
            postgres.torn = true;
        }
        self.servers[server].running = Some(Running { op, command });
        let run = self.servers[server].run;
        self.after(delay, What::Effect { server, run, op });
    }

    fn cancel(&mut self, server: usize) {
        if let Some(running) = self.servers[server].running.take() {
            self.deliver(server, Event::Done { op: running.op, result: Err(OpFailure::Cancelled) });
        }
    }

    fn arm(&mut self, server: usize, armed: Armed) {
        let s = &mut self.servers[server];
        if s.guard.there && armed.term >= s.guard.highest {
            s.guard.highest = armed.term;
            s.guard.armed = Some(armed);
            let delay = s.when(armed.fence_at).saturating_sub(self.now);
            self.after(delay, What::GuardFires { server, armed });
        }
        self.report(server);
    }

    pub fn report(&mut self, server: usize) {
        if !self.servers[server].guard.there {
            return;
        }
        let report = self.servers[server].guard_report();
        self.deliver(server, Event::Guard(report));
    }

    pub fn guard_fires(&mut self, server: usize, armed: Armed) {
        let s = &self.servers[server];
        if !s.up || s.guard.armed != Some(armed) || self.profile.mutant == Some(Mutant::NoGuard) {
            return;
        }
        let run = s.run;
        self.note(|| format!("s{server} guard fires"));
        self.servers[server].guard.killing = true;
        let lead = self.profile.timings.fence_lead_ms;
        let (low, high) = self.profile.kill_ms;
        let delay = if lead == 0 { 0 } else { self.ns((low, high)) };
        self.after(delay, What::Killed { server, run, op: None });
    }

    /// The guard dies, and PostgreSQL with it.
    pub fn lose_guard(&mut self, server: usize) {
        let s = &mut self.servers[server];
        s.guard = Guard { there: false, ..Guard::new() };
        s.postgres.kill();
        self.deliver(server, Event::GuardLost);
        let observation = self.observation(server);
        self.deliver(server, Event::Postgres(observation));
    }

    /// A new guard, which knows no deadline.
    pub fn regain_guard(&mut self, server: usize) {
        self.servers[server].guard.there = true;
        self.report(server);
    }

    pub fn killed(&mut self, server: usize, run: u64, op: Option<OpId>) {
        let s = &mut self.servers[server];
        let due = op.is_some() || std::mem::take(&mut s.guard.killing);
        if !s.up || !due {
            return;
        }
        if let Some(op) = op.filter(|_| !s.guard.there) {
            if s.run == run {
                self.deliver(server, Event::Done { op, result: failed("the guard is lost") });
            }
            return;
        }
        s.guard.killing = false;
        s.postgres.kill();
        self.note(|| format!("s{server} PostgreSQL is gone"));
        self.report(server);
        let observation = self.observation(server);
        self.deliver(server, Event::Postgres(observation));
        if let Some(op) = op
            && self.servers[server].run == run
        {
            self.deliver(server, Event::Done { op, result: Ok(OpOutput::Nothing) });
        }
    }

    pub fn effect(&mut self, server: usize, run: u64, op: OpId) {
        let s = &self.servers[server];
        if !s.up || s.run != run || s.running.as_ref().is_none_or(|r| r.op != op) {
            return;
        }
        if s.frozen && self.rng.chance(70) {
            return self.after(20 * MS, What::Effect { server, run, op });
        }
        let Some(running) = self.servers[server].running.clone() else {
            return;
        };
        let Some(result) = self.carry_out(server, &running.command) else {
            return self.after(10 * MS, What::Effect { server, run, op });
        };
        self.servers[server].running = None;
        self.report(server);
        let observation = self.observation(server);
        self.deliver(server, Event::Done { op, result });
        self.deliver(server, Event::Postgres(observation));
    }

    /// [`None`] = not yet.
    fn carry_out(&mut self, server: usize, command: &Command) -> Option<End> {
        let disk = matches!(command, Command::Persist { .. } | Command::StorePromise { .. });
        if !disk && self.rng.chance(self.profile.failing_operations) {
            return Some(failed("bad luck"));
        }
        let guarded = matches!(command, Command::StartPrimary { .. } | Command::StartStandby { .. });
        if guarded && !self.servers[server].guard.there {
            return Some(failed("the guard is lost"));
        }
        Some(match command {
            Command::Persist { phase, .. } => {
                self.servers[server].persisted.phase = phase.clone();
                Ok(OpOutput::Nothing)
            }
            Command::StorePromise { promise, .. } => {
                self.servers[server].persisted.promise = Some(*promise);
                Ok(OpOutput::Nothing)
            }
            Command::StartPrimary { term, sync, .. } => self.start_primary(server, *term, sync),
            Command::StartStandby { upstream, .. } => {
                self.start_standby(server, upstream.as_ref().map(index))
            }
            Command::Follow { upstream, .. } => self.follow(server, upstream.as_ref().map(index)),
            Command::Freeze { .. } => self.freeze(server),
            Command::Fetch { source, until, .. } => self.fetch(server, index(source), until),
            Command::Promote { term, timeline, .. } => self.promote(server, *term, *timeline),
            Command::StopPostgres { .. } => self.stop(server),
            Command::OpenClients { .. } => {
                let primary = self.servers[server].is_primary();
                self.servers[server].postgres.clients = primary;
                if primary { Ok(OpOutput::Nothing) } else { failed("not a primary") }
            }
            Command::SetSyncStandbys { sync, .. } => return self.set_sync(server, sync),
            Command::Repair { source, .. } => self.repair(server, index(source)),
            Command::InitDb { .. } => self.init_db(server),
            Command::Propose { .. }
            | Command::ArmGuard { .. }
            | Command::Disarm { .. }
            | Command::Fence { .. }
            | Command::Cancel { .. }
            | Command::Journal(_)
            | Command::AskFailsafe { .. }
            | Command::AnswerFailsafe { .. }
            | Command::StoreFailsafe { .. } => failed("not an operation"),
        })
    }

    fn start_primary(
        &mut self,
        server: usize,
        term: sb_failover::Term,
        sync: &sb_failover::SyncStandbys,
    ) -> End {
        let s = &self.servers[server];
        let lawful = s.guard.armed.is_some_and(|a| a.term == term && a.fence_at > s.clock(self.now));
        if !lawful {
            return failed("the guard holds no deadline");
        }
        if self.is_torn(server) {
            return failed("torn");
        }
        let p = &mut self.servers[server].postgres;
        if p.recovering {
            return failed("shut down in recovery");
        }
        p.start(Role::Primary);
        p.term = term;
        p.upstream = None;
        p.sync = sync.clone();
        let end = p.position();
        self.tell(&Happening::BecamePrimary { server, term });
        Ok(OpOutput::At(end))
    }

    fn is_torn(&mut self, server: usize) -> bool {
        let torn = self.servers[server].postgres.torn;
        if torn {
            self.tell(&Happening::StartedTorn { server });
        }
        torn
    }

    fn start_standby(&mut self, server: usize, upstream: Option<usize>) -> End {
        if self.is_torn(server) {
            return failed("torn");
        }
        if self.servers[server].is_primary() {
            return failed("it is a primary");
        }
        let p = &mut self.servers[server].postgres;
        p.start(Role::Standby);
        p.upstream = upstream;
        Ok(OpOutput::Nothing)
    }

    fn follow(&mut self, server: usize, upstream: Option<usize>) -> End {
        let p = &mut self.servers[server].postgres;
        if p.role != Role::Standby {
            return failed("not a standby");
        }
        p.upstream = upstream;
        Ok(OpOutput::Nothing)
    }

    fn freeze(&mut self, server: usize) -> End {
        self.follow(server, None)?;
        Ok(OpOutput::At(self.servers[server].postgres.position()))
    }

    fn fetch(&mut self, server: usize, source: usize, until: &sb_pgtypes::Position) -> End {
        let from = self.servers[source].postgres.clone();
        let reached = self.linked(server, source) && from.role != Role::Stopped;
        let p = &mut self.servers[server].postgres;
        if !reached || p.role != Role::Standby || !p.copy_from(&from, usize::MAX / 2) {
            return failed("the source cannot be reached");
        }
        if p.position().contains(until) { Ok(OpOutput::At(p.position())) } else { failed("it has less") }
    }

    fn promote(&mut self, server: usize, term: sb_failover::Term, timeline: sb_pgtypes::TimelineId) -> End {
        let mark = self.new_record();
        let p = &mut self.servers[server].postgres;
        if p.role != Role::Standby {
            return failed("not a standby");
        }
        p.promote(term, mark, timeline);
        let lineage = p.lineage.clone();
        self.tell(&Happening::BecamePrimary { server, term });
        if self.rng.chance(self.profile.failing_operations) {
            return Err(OpFailure::TimedOut);
        }
        Ok(OpOutput::Promoted(lineage))
    }

    fn stop(&mut self, server: usize) -> End {
        let p = &self.servers[server].postgres;
        if p.role != Role::Primary {
            return failed("not a primary");
        }
        let mark = self.new_record();
        let p = &mut self.servers[server].postgres;
        p.log.push(mark);
        let stopped = p.clone();
        p.kill();
        // The last walsenders wait until streaming standbys have the shutdown checkpoint.
        for standby in 0..self.servers.len() {
            let streams =
                self.servers[standby].postgres.upstream == Some(server) && self.linked(server, standby);
            if streams
                && self.servers[standby].postgres.role == Role::Standby
                && !self.slow.contains(&standby)
            {
                self.servers[standby].postgres.copy_from(&stopped, usize::MAX / 2);
            }
        }
        Ok(OpOutput::At(stopped.position()))
    }

    fn set_sync(&mut self, server: usize, sync: &sb_failover::SyncStandbys) -> Option<End> {
        let p = &mut self.servers[server].postgres;
        if p.role == Role::Stopped {
            return Some(failed("not running"));
        }
        if p.sync != *sync {
            p.sync = sync.clone();
        }
        if p.role == Role::Standby || sync.names.is_empty() {
            return Some(Ok(OpOutput::Nothing));
        }
        let at = lsn(p.log.len());
        if self.rng.chance(3) { Some(Err(OpFailure::TimedOut)) } else { Some(Ok(OpOutput::Effective { at })) }
    }

    fn repair(&mut self, server: usize, source: usize) -> End {
        let from = self.servers[source].postgres.clone();
        if !self.linked(server, source) || from.role != Role::Primary {
            return failed("the source cannot be reached");
        }
        let end = from.position();
        self.servers[server].postgres.clone_from(&from);
        Ok(OpOutput::At(end))
    }

    fn init_db(&mut self, server: usize) -> End {
        let p = &mut self.servers[server].postgres;
        p.has_data = true;
        p.torn = false;
        p.recovering = false;
        p.log = vec![1];
        p.lineage = Lineage::first();
        Ok(OpOutput::Initialized { system_identifier: SYSTEM, lineage: Lineage::first() })
    }
}
