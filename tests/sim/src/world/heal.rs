//! How a fault begins, and how it is put right.

use super::{Fault, What, World};
use crate::server::index;

impl World {
    pub fn strike(&mut self, fault: Fault, lasts_ms: (u64, u64)) {
        self.note(|| format!("fault {fault:?}"));
        self.tally.note(fault.name());
        self.troubles += 1;
        match &fault {
            Fault::HostLost(servers) => servers.iter().for_each(|s| self.crash_host(*s)),
            Fault::AgentCrash(server) => self.crash_agent(*server),
            Fault::AgentFrozen(server) => self.servers[*server].frozen = true,
            Fault::HostSuspended { server, clock_stands_still } => self.suspend(*server, *clock_stands_still),
            Fault::Cut(links) => self.network.cut(links),
            Fault::SlowLinks(links) => self.network.slow_down(links),
            Fault::Deaf(server) => self.servers[*server].deaf += 1,
            Fault::SlowReceiver(server) => self.servers[*server].slow_receiver += 1,
            Fault::SlowDisk(server) => self.servers[*server].slow_disk += 1,
            Fault::FullDisk(server) => self.servers[*server].store.disk.fill(),
            Fault::DiskError(server) => self.servers[*server].store.disk.fail(),
            Fault::GuardLost(server) => self.lose_guard(*server),
            Fault::GuardStopped(server) => self.stop_guard(*server),
            Fault::PostgresCrash(server) => self.crash_postgres(*server),
            Fault::PostgresHung(server) => {
                let p = &mut self.servers[*server].postgres;
                p.hung = p.runs();
            }
            Fault::Wiped(server) => {
                self.crash_host(*server);
                self.wipe(*server);
            }
            Fault::StoreReplaced(_) => {}
            Fault::StoreCut(servers) => servers.iter().for_each(|s| self.servers[*s].store.cut += 1),
        }
        let lasts = self.ns(lasts_ms);
        self.after(lasts, What::Heal(Box::new(fault)));
    }

    fn crash_postgres(&mut self, server: usize) {
        if !self.servers[server].postgres.runs() {
            return;
        }
        let run = self.servers[server].run;
        self.servers[server].guard.killing = true;
        self.after(0, What::Killed { server, run, op: None });
    }

    pub fn heal(&mut self, fault: Fault) {
        self.note(|| format!("heal {fault:?}"));
        match fault {
            Fault::HostLost(servers) => servers.iter().for_each(|s| self.boot(*s)),
            Fault::Wiped(server) => self.boot(server),
            Fault::AgentFrozen(server) => self.thaw(server),
            Fault::HostSuspended { server, .. } => {
                let stands_still = self.servers[server].clock_sleeps;
                self.resume(server, stands_still);
            }
            Fault::Cut(links) => self.network.mend(&links),
            Fault::SlowLinks(links) => self.network.speed_up(&links),
            Fault::Deaf(server) => self.servers[server].deaf = self.servers[server].deaf.saturating_sub(1),
            Fault::SlowReceiver(server) => {
                let slow = &mut self.servers[server].slow_receiver;
                *slow = slow.saturating_sub(1);
            }
            Fault::SlowDisk(server) => {
                let slow = &mut self.servers[server].slow_disk;
                *slow = slow.saturating_sub(1);
            }
            Fault::FullDisk(server) => self.servers[server].store.disk.clear(),
            Fault::GuardLost(server) => self.regain_guard(server),
            Fault::GuardStopped(server) => self.thaw_guard(server),
            Fault::PostgresHung(server) => self.servers[server].postgres.hung = false,
            Fault::StoreReplaced(server) => self.rejoin(server),
            Fault::StoreCut(servers) => {
                for server in servers {
                    let cut = &mut self.servers[server].store.cut;
                    *cut = cut.saturating_sub(1);
                }
            }
            Fault::AgentCrash(_) | Fault::DiskError(_) | Fault::PostgresCrash(_) => {}
        }
    }

    pub fn heal_everything(&mut self) {
        self.note(|| "calm".into());
        self.calm_since = Some(self.now);
        self.queue.forget(|what| match what {
            What::Fault | What::Strike { .. } => true,
            What::Heal(fault) => !matches!(**fault, Fault::StoreReplaced(_)),
            _ => false,
        });
        self.network.calm();
        self.profile.failing_operations = 0;
        let lost = self.voter_lost();
        for server in 0..self.count() {
            let s = &mut self.servers[server];
            (s.deaf, s.slow_receiver, s.slow_disk) = (0, 0, 0);
            s.postgres.hung = false;
            s.store.disk.clear();
            s.store.cut = 0;
            if Some(server) == lost {
                self.crash_host(server);
                self.servers[server].lost = true;
                continue;
            }
            let stands_still = self.servers[server].clock_sleeps;
            self.resume(server, stands_still);
            self.boot(server);
            self.thaw(server);
            self.thaw_guard(server);
            if self.servers[server].guard.lost {
                self.regain_guard(server);
            }
        }
    }

    /// Sometimes a synchronous standby of a primary that has settled its set never returns, if another server can
    /// take its place: the others must do without it.
    fn voter_lost(&mut self) -> Option<usize> {
        // One directory may be lost, not two copies.
        if self.wiped {
            return None;
        }
        let record = self.ledger.newest();
        let settled = record.sync.term == record.term() && record.holder().is_some();
        let voter = record.sync.voters.first().filter(|_| settled).map(index)?;
        let holder = record.holder().map(index)?;
        let replaced = (0..self.count()).any(|s| {
            s != voter && self.servers[s].site != self.servers[holder].site && self.profile.sync_eligible(s)
        });
        (replaced && self.rng.chance(40)).then_some(voter)
    }
}
