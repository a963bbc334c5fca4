//! What commands do to the models of PostgreSQL and of the disk.

use sb_failover::mutant::Mutant;
use sb_failover::{Armed, Command, Event, OpFailure, OpId, OpOutput, Role, SyncStandbys, Term};
use sb_pgtypes::{Lineage, TimelineId};

use super::postgres::SYSTEM;
use super::{What, World};
use crate::invariants::Happening;
use crate::model::postgres::lsn;
use crate::rng::MS;
use crate::server::{Running, index};

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
                    self.begin_operation(server, op, command);
                }
            }
        }
    }

    fn begin_operation(&mut self, server: usize, op: OpId, command: Command) {
        let s = &mut self.servers[server];
        assert!(s.running.is_none(), "two operations at a time on s{server}: {command:?}");
        let disk = s.slow_disk > 0;
        let delay = match &command {
            Command::Promote { .. } => self.ns(self.profile.promote_ms),
            Command::StartPrimary { .. } | Command::StartStandby { .. } | Command::StopPostgres { .. } => {
                self.slow_at_times(self.profile.start_ms)
            }
            Command::Repair { .. } => self.ns((300, 2_000)),
            Command::InitDb { .. } => self.ns((300, 600)),
            Command::Fetch { .. } => self.ns((5, 300)),
            Command::Persist { .. } | Command::StorePromise { .. } if disk => self.ns((20, 800)),
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

    /// Recovery takes long when there is much to replay.
    fn slow_at_times(&mut self, range_ms: (u64, u64)) -> u64 {
        let long = self.troubles > 0 && self.calm_since.is_none() && self.rng.chance(3);
        self.ns(range_ms) + if long { self.ns((1_000, 8_000)) } else { 0 }
    }

    fn cancel(&mut self, server: usize) {
        if let Some(running) = self.servers[server].running.take() {
            self.deliver(server, Event::Done { op: running.op, result: Err(OpFailure::Cancelled) });
        }
    }

    pub fn effect(&mut self, server: usize, run: u64, op: OpId) {
        let s = &self.servers[server];
        if !s.up || s.run != run || s.running.as_ref().is_none_or(|r| r.op != op) {
            return;
        }
        if s.suspended.is_some() || (s.frozen && self.rng.chance(70)) {
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
        self.deliver(server, Event::Done { op, result });
        self.deliver_observation(server);
    }

    /// What was under way happens, and nobody is left to hear of it.
    pub fn take_effect_unseen(&mut self, server: usize) {
        if let Some(running) = self.servers[server].running.take()
            && !matches!(running.command, Command::Repair { .. } | Command::InitDb { .. })
        {
            let _ = self.carry_out(server, &running.command);
        }
    }

    /// [`None`] = not yet.
    fn carry_out(&mut self, server: usize, command: &Command) -> Option<End> {
        let disk = matches!(command, Command::Persist { .. } | Command::StorePromise { .. });
        if disk && self.servers[server].store.disk.is_full() {
            return Some(failed("the disk is full"));
        }
        if !disk && self.rng.chance(self.profile.failing_operations) {
            return Some(failed("bad luck"));
        }
        let hung = self.servers[server].postgres.hung;
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
            Command::Repair { source, .. } => self.repair(server, index(source)),
            Command::InitDb { .. } => self.init_db(server),
            Command::StopPostgres { .. } if hung => Err(OpFailure::TimedOut),
            _ if hung => failed("PostgreSQL does not answer"),
            Command::Follow { upstream, .. } => self.follow(server, upstream.as_ref().map(index)),
            Command::Freeze { .. } => self.freeze(server),
            Command::Fetch { source, until, .. } => self.fetch(server, index(source), until),
            Command::Promote { term, timeline, .. } => self.promote(server, *term, *timeline),
            Command::StopPostgres { .. } => self.stop(server),
            Command::OpenClients { .. } => self.open_clients(server),
            Command::SetSyncStandbys { sync, .. } => return self.set_sync(server, sync),
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

    fn start_primary(&mut self, server: usize, term: Term, sync: &SyncStandbys) -> End {
        let s = &self.servers[server];
        let lawful = s.guard.armed.is_some_and(|a| a.term == term && a.fence_at > s.clock.read(self.now));
        if s.guard.lost || !lawful {
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
        p.set_sync(sync);
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
        if self.servers[server].guard.lost {
            return failed("the guard is lost");
        }
        if self.is_torn(server) {
            return failed("torn");
        }
        if self.servers[server].is_primary() {
            return failed("it is a primary");
        }
        let p = &mut self.servers[server].postgres;
        p.start(Role::Standby);
        p.point(upstream);
        self.begin_receiving(server);
        Ok(OpOutput::Nothing)
    }

    fn follow(&mut self, server: usize, upstream: Option<usize>) -> End {
        let p = &mut self.servers[server].postgres;
        if p.role != Role::Standby {
            return failed("not a standby");
        }
        p.point(upstream);
        self.begin_receiving(server);
        Ok(OpOutput::Nothing)
    }

    fn freeze(&mut self, server: usize) -> End {
        self.follow(server, None)?;
        Ok(OpOutput::At(self.servers[server].postgres.position()))
    }

    fn fetch(&mut self, server: usize, source: usize, until: &sb_pgtypes::Position) -> End {
        let runs = self.servers[source].postgres.runs() && !self.servers[source].postgres.hung;
        let standby = self.servers[server].postgres.role == Role::Standby;
        if !self.linked(server, source) || !runs || !standby || !self.copy_log(source, server) {
            return failed("the source cannot be reached");
        }
        let position = self.servers[server].postgres.position();
        if position.contains(until) { Ok(OpOutput::At(position)) } else { failed("it has less") }
    }

    /// The files that keep earlier numbers free make PostgreSQL take the one that it is told.
    fn promote(&mut self, server: usize, term: Term, timeline: TimelineId) -> End {
        if self.servers[server].postgres.role != Role::Standby {
            return failed("not a standby");
        }
        let next = self.servers[server].postgres.next_timeline();
        let own = self.profile.mutant == Some(Mutant::OwnTimeline);
        if timeline < next && !own {
            return failed("that timeline exists already");
        }
        let mark = self.new_record();
        let p = &mut self.servers[server].postgres;
        p.promote(term, mark, if own { next } else { timeline });
        self.tally.note("PostgreSQL promoted");
        let p = &self.servers[server].postgres;
        let lineage = p.lineage.clone();
        self.tell(&Happening::BecamePrimary { server, term });
        if self.rng.chance(self.profile.failing_operations) {
            return Err(OpFailure::TimedOut);
        }
        Ok(OpOutput::Promoted(lineage))
    }

    fn stop(&mut self, server: usize) -> End {
        if self.servers[server].postgres.role != Role::Primary {
            return failed("not a primary");
        }
        let mark = self.new_record();
        self.servers[server].postgres.log.push(mark);
        let end = self.servers[server].postgres.position();
        // The last walsenders wait until streaming standbys have the shutdown checkpoint.
        for standby in (0..self.count()).filter(|s| *s != server) {
            let streams = self.servers[standby].postgres.upstream == Some(server) && self.receives(standby);
            if streams && self.servers[standby].slow_receiver == 0 {
                self.copy_log(server, standby);
                self.tell(&Happening::Streamed { standby, upstream: server });
            }
        }
        self.servers[server].postgres.kill();
        Ok(OpOutput::At(end))
    }

    fn open_clients(&mut self, server: usize) -> End {
        let primary = self.servers[server].is_primary();
        self.servers[server].postgres.clients = primary;
        let term = self.servers[server].postgres.term;
        if primary {
            self.tell(&Happening::Opened { server, term });
        }
        if primary { Ok(OpOutput::Nothing) } else { failed("not a primary") }
    }

    fn set_sync(&mut self, server: usize, sync: &SyncStandbys) -> Option<End> {
        let p = &mut self.servers[server].postgres;
        if !p.runs() {
            return Some(failed("not running"));
        }
        p.set_sync(sync);
        if p.role == Role::Standby {
            return Some(Ok(OpOutput::Nothing));
        }
        self.tell(&Happening::SettingChanged);
        self.confirm_waiting(server);
        let at = lsn(self.servers[server].postgres.log.len());
        if self.unlucky(3) { Some(Err(OpFailure::TimedOut)) } else { Some(Ok(OpOutput::Effective { at })) }
    }

    /// What is left behind is kept and reported before anything is changed (R8).
    fn repair(&mut self, server: usize, source: usize) -> End {
        if !self.linked(server, source) || self.servers[source].postgres.role != Role::Primary {
            return failed("the source cannot be reached");
        }
        let end = self.servers[source].postgres.position();
        let fresh = !self.servers[server].postgres.has_data;
        self.tally.note(if fresh { "repair: copied" } else { "repair: rewound" });
        let left = self.copy_data(source, server);
        self.reported_lost.extend(left);
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
