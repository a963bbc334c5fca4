//! The guard of each server, and the end of PostgreSQL.

use sb_failover::mutant::Mutant;
use sb_failover::{Armed, Event, OpFailure, OpId, OpOutput};

use super::{Fault, What, World};
use crate::model::guard::Guard;
use crate::rng::MS;

/// How long a guard may be silent before the agent takes it for lost.
const GUARD_SILENT_MS: u64 = 1_000;

impl World {
    pub fn arm(&mut self, server: usize, armed: Armed) {
        let s = &mut self.servers[server];
        if s.guard.arm(armed) {
            let delay = s.clock.when(armed.fence_at).saturating_sub(self.now);
            self.after(delay, What::GuardFires { server, armed });
        }
        self.report(server);
    }

    pub fn report(&mut self, server: usize) {
        let guard = &self.servers[server].guard;
        if !guard.lost && !guard.stopped {
            let report = self.servers[server].guard_report();
            self.deliver(server, Event::Guard(report));
        }
    }

    pub fn guard_fires(&mut self, server: usize, armed: Armed) {
        let s = &self.servers[server];
        let due = s.up && s.suspended.is_none() && !s.guard.stopped && s.guard.armed == Some(armed);
        if !due || s.clock.read(self.now) < armed.fence_at || self.profile.mutant == Some(Mutant::NoGuard) {
            return;
        }
        let run = s.run;
        self.note(|| format!("s{server} its guard fires"));
        self.servers[server].guard.killing = true;
        let delay = if self.profile.timings.fence_lead_ms == 0 { 0 } else { self.ns(self.profile.kill_ms) };
        self.after(delay, What::Killed { server, run, op: None });
    }

    /// The guard dies, and PostgreSQL with it.
    pub fn lose_guard(&mut self, server: usize) {
        let s = &mut self.servers[server];
        s.guard = Guard { lost: true, ..Guard::default() };
        self.postgres_ends(server);
        self.deliver(server, Event::GuardLost);
        self.deliver_observation(server);
    }

    /// The guard is stopped (SIGSTOP). The agent notices when it has not answered for a while.
    pub fn stop_guard(&mut self, server: usize) {
        let guard = &mut self.servers[server].guard;
        guard.stopped = !guard.lost;
        self.after(GUARD_SILENT_MS * MS, What::GuardMissed { server });
    }

    pub fn miss_guard(&mut self, server: usize) {
        if !self.servers[server].guard.stopped {
            return;
        }
        if self.servers[server].agent_runs() {
            self.deliver(server, Event::GuardLost);
        }
        self.after(GUARD_SILENT_MS * MS, What::GuardMissed { server });
    }

    /// SIGCONT to the guard: what was due is due at once.
    pub fn thaw_guard(&mut self, server: usize) {
        let now = self.now;
        let s = &mut self.servers[server];
        if !std::mem::take(&mut s.guard.stopped) {
            return;
        }
        if let Some(armed) = s.guard.armed {
            s.overslept |= s.postgres.runs() && armed.fence_at <= s.clock.read(now);
            let due = s.clock.when(armed.fence_at).saturating_sub(now);
            self.after(due, What::GuardFires { server, armed });
        }
        self.report(server);
    }

    /// A new guard, which knows no deadline.
    pub fn regain_guard(&mut self, server: usize) {
        self.servers[server].guard.lost = false;
        self.report(server);
    }

    pub fn killed(&mut self, server: usize, run: u64, op: Option<OpId>) {
        let s = &mut self.servers[server];
        if s.suspended.is_some() {
            return self.after(5 * MS, What::Killed { server, run, op });
        }
        let due = op.is_some() || std::mem::take(&mut s.guard.killing);
        if !s.up || !due {
            return;
        }
        let asked = op.filter(|_| s.run == run);
        if s.guard.lost {
            if let Some(op) = asked {
                let result = Err(OpFailure::Failed { detail: "the guard is lost".into() });
                self.deliver(server, Event::Done { op, result });
            }
            return;
        }
        if s.guard.stopped {
            // The agent kills the guard, and with it everything that hangs on it.
            self.lose_guard(server);
            let again = self.ns((100, 1_500));
            self.after(again, What::Heal(Box::new(Fault::GuardLost(server))));
        }
        self.servers[server].guard.killing = false;
        self.postgres_ends(server);
        self.report(server);
        self.deliver_observation(server);
        if let Some(op) = asked {
            self.deliver(server, Event::Done { op, result: Ok(OpOutput::Nothing) });
        }
    }

    /// No process of PostgreSQL is left.
    fn postgres_ends(&mut self, server: usize) {
        self.note(|| format!("s{server} PostgreSQL is gone"));
        let s = &mut self.servers[server];
        s.postgres.kill();
        s.overslept = false;
    }
}
