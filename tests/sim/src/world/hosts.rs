//! Processes and hosts that end, stop and begin again.

use super::{What, World};
use crate::model::guard::Guard;
use crate::rng::MS;

/// Longer than any lease here.
const LEASE_MS_MAX: u64 = 25_000;

impl World {
    /// The agent's process ends and is started again soon. Guard and PostgreSQL stay as they are, and what was
    /// written reaches the disk; what was under way has happened or not.
    pub fn crash_agent(&mut self, server: usize) {
        if !self.servers[server].agent {
            return;
        }
        self.note(|| format!("s{server} its agent ends"));
        if self.servers[server].running.is_some() && self.rng.chance(50) {
            self.take_effect_unseen(server);
        }
        self.end_agent(server);
        self.servers[server].store.disk.sync();
        let (run, soon) = (self.servers[server].run, self.ns((50, 1_500)));
        self.after(soon, What::AgentStarts { server, run });
    }

    fn end_agent(&mut self, server: usize) {
        let s = &mut self.servers[server];
        s.agent = false;
        s.frozen = false;
        s.run += 1;
        s.running = None;
        s.inbox.clear();
        self.stop_store(server);
    }

    /// The power fails.
    pub fn crash_host(&mut self, server: usize) {
        if !self.servers[server].up {
            return;
        }
        let disk_first = self.servers[server].running.is_some() && self.rng.chance(50);
        if disk_first {
            self.take_effect_unseen(server);
        }
        self.end_agent(server);
        let s = &mut self.servers[server];
        s.up = false;
        s.suspended = None;
        s.overslept = false;
        s.guard = Guard { lost: true, ..Guard::default() };
        s.postgres.kill();
        s.store.disk.lose_power(&mut self.rng);
    }

    /// The host comes back: nothing but the disk is left.
    pub fn boot(&mut self, server: usize) {
        if self.servers[server].up || self.servers[server].lost {
            return;
        }
        self.note(|| format!("s{server} boots"));
        let now = self.now;
        let s = &mut self.servers[server];
        s.up = true;
        s.clock.restart(now);
        s.guard = Guard::default();
        let (run, soon) = (s.run, self.ns((0, 300)));
        self.after(soon, What::AgentStarts { server, run });
    }

    /// SIGCONT: the agent finds what came meanwhile.
    pub fn thaw(&mut self, server: usize) {
        if self.servers[server].up && std::mem::take(&mut self.servers[server].frozen) {
            self.wake_up(server);
        }
    }

    pub fn suspend(&mut self, server: usize, clock_sleeps: bool) {
        let now = self.now;
        let s = &mut self.servers[server];
        if s.up && s.suspended.is_none() {
            s.suspended = Some(now);
            s.clock_sleeps = clock_sleeps;
        }
    }

    /// The host goes on. With a clock that went on too, the guard's timer is due at once.
    pub fn resume(&mut self, server: usize, clock_stood_still: bool) {
        let now = self.now;
        let s = &mut self.servers[server];
        let Some(since) = s.suspended.take() else {
            return;
        };
        if clock_stood_still {
            s.clock.lose(now - since);
            s.distrusted_until = now + LEASE_MS_MAX * MS;
        }
        let late = s.guard.armed.is_some_and(|a| a.fence_at <= s.clock.read(now));
        s.overslept |= s.postgres.runs() && (clock_stood_still || late);
        if let Some(armed) = s.guard.armed {
            let due = s.clock.when(armed.fence_at).saturating_sub(now);
            self.after(due, What::GuardFires { server, armed });
        }
        if self.servers[server].agent_runs() {
            self.wake_up(server);
        }
    }

    fn wake_up(&mut self, server: usize) {
        self.feed_inbox(server);
        if !self.servers[server].store.busy {
            self.catch_up(server);
        }
    }

    /// A store that is refused at its start: a person wipes the server, and it joins anew.
    pub fn refuse_store(&mut self, server: usize) {
        self.servers[server].agent = false;
        self.servers[server].run += 1;
        let soon = self.ns((300, 2_000));
        let fault = super::Fault::StoreReplaced(server);
        self.after(soon, What::Heal(Box::new(fault)));
    }
}
