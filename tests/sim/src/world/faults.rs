//! What goes wrong.

use super::{What, World};

/// Something that goes wrong and, most of the time, is put right later.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The power of these hosts fails.
    HostLost(Vec<usize>),
    /// SIGKILL to the agent.
    AgentCrash(usize),
    /// SIGSTOP to the agent.
    AgentFrozen(usize),
    /// The virtual machine stands still; its clock does too, or goes on.
    HostSuspended { server: usize, clock_stands_still: bool },
    /// Nothing passes from the first to the second of each pair.
    Cut(Vec<(usize, usize)>),
    /// What passes takes long.
    SlowLinks(Vec<(usize, usize)>),
    /// The machine does not hear what its store has to say.
    Deaf(usize),
    /// The WAL receiver lags.
    SlowReceiver(usize),
    /// Syncs take long.
    SlowDisk(usize),
    /// There is no room for the store's log, phases and promises.
    FullDisk(usize),
    /// The next write fails.
    DiskError(usize),
    /// The guard is killed, and PostgreSQL with it.
    GuardLost(usize),
    /// PostgreSQL dies by itself.
    PostgresCrash(usize),
    /// It takes connections and answers nothing.
    PostgresHung(usize),
    /// The server's directories are lost; it joins anew.
    Wiped(usize),
    /// The store's directory was refused and is replaced.
    StoreReplaced(usize),
}

impl World {
    pub fn fault(&mut self) {
        let again = self.ns(self.profile.fault_every_ms);
        self.after(again, What::Fault);
        let victim = self.victim();
        // Troubles come in pairs.
        if self.rng.chance(30) {
            let silent = Fault::Cut(self.around(victim, true, self.profile.fault_every_ms.0 > 0));
            let soon = self.ns((0, 700));
            self.after(soon, What::Strike { fault: Box::new(silent), lasts_ms: (3_000, 9_000) });
        }
        match self.rng.range(0, 32) {
            0..12 => self.process_fault(victim),
            12..24 => self.network_fault(victim),
            24..27 => self.ask_for_transfer(),
            27 => self.ask_for_pause(),
            28 | 29 => self.late_echo(victim),
            _ => {
                self.ask_for_timings();
                let soon = self.ns((0, 700));
                self.after(
                    soon,
                    What::Strike { fault: Box::new(Fault::Deaf(victim)), lasts_ms: (500, 8_000) },
                );
            }
        }
    }

    fn process_fault(&mut self, victim: usize) {
        let synchronous = self.profile.durability.is_synchronous();
        match self.rng.range(0, 16) {
            0 | 1 => self.strike(Fault::HostLost(vec![victim]), (500, 10_000)),
            2 => {
                let site = self.servers[victim].site;
                let mates = (0..self.count()).filter(|s| self.servers[*s].site == site).collect();
                self.strike(Fault::HostLost(mates), (500, 8_000));
            }
            3 | 4 => self.strike(Fault::AgentFrozen(victim), (100, 9_000)),
            5 | 6 => self.strike(Fault::AgentCrash(victim), (0, 1)),
            7 => {
                // Without a clock that goes on only the promises of the synchronous modes hold.
                let clock_stands_still = synchronous && self.rng.chance(50);
                self.strike(Fault::HostSuspended { server: victim, clock_stands_still }, (500, 9_000));
            }
            8 | 9 => self.strike(Fault::PostgresCrash(victim), (0, 1)),
            10 => self.strike(Fault::PostgresHung(victim), (500, 6_000)),
            11 => self.strike(Fault::GuardLost(victim), (200, 6_000)),
            12 => self.strike(Fault::SlowDisk(victim), (500, 8_000)),
            13 => self.strike(Fault::FullDisk(victim), (500, 8_000)),
            14 => self.strike(Fault::DiskError(victim), (0, 1)),
            _ if self.wiped => self.strike(Fault::SlowReceiver(victim), (500, 8_000)),
            _ => self.strike(Fault::Wiped(victim), (500, 3_000)),
        }
    }

    fn network_fault(&mut self, victim: usize) {
        let other = (victim + 1 + self.rng.pick(self.count() - 1)) % self.count();
        match self.rng.range(0, 12) {
            0 | 1 => self.strike(Fault::Cut(self.around(victim, true, true)), (500, 10_000)),
            2 | 3 => {
                let out = self.rng.chance(50);
                self.strike(Fault::Cut(self.around(victim, out, !out)), (500, 8_000));
            }
            4 | 5 => self.strike(Fault::Cut(vec![(victim, other), (other, victim)]), (500, 10_000)),
            6 | 7 => {
                let cut = self.split();
                self.strike(Fault::Cut(cut), (500, 8_000));
            }
            8 => self.strike(Fault::SlowLinks(self.around(victim, true, true)), (500, 8_000)),
            9 => self.strike(Fault::Deaf(victim), (500, 6_000)),
            10 => self.strike(Fault::SlowReceiver(victim), (500, 8_000)),
            _ => {
                // A link that flaps.
                for beat in 0..6 {
                    let fault = Box::new(Fault::Cut(vec![(victim, other), (other, victim)]));
                    self.after(beat * 900 * crate::rng::MS, What::Strike { fault, lasts_ms: (100, 600) });
                }
            }
        }
    }

    /// The last renewal gets through, its echo comes late, and nothing gets through after it.
    fn late_echo(&mut self, victim: usize) {
        let soon = self.ns((0, 500));
        self.strike(Fault::Deaf(victim), (300, 3_300));
        let fault = Box::new(Fault::Cut(self.around(victim, true, false)));
        self.after(soon, What::Strike { fault, lasts_ms: (5_000, 9_000) });
    }

    /// Half of the time the primary.
    fn victim(&mut self) -> usize {
        let primary = (0..self.count()).find(|s| self.servers[*s].is_primary());
        match primary {
            Some(primary) if self.rng.chance(50) => primary,
            Some(_) | None => self.rng.pick(self.count()),
        }
    }

    fn around(&self, server: usize, out: bool, into: bool) -> Vec<(usize, usize)> {
        let others = (0..self.count()).filter(|o| *o != server);
        others.flat_map(|o| [(out, (server, o)), (into, (o, server))]).filter(|c| c.0).map(|c| c.1).collect()
    }

    fn split(&mut self) -> Vec<(usize, usize)> {
        let count = self.count();
        let sides: Vec<bool> = (0..count).map(|_| self.rng.chance(50)).collect();
        let pairs = (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
        pairs.filter(|(a, b)| sides[*a] != sides[*b]).collect()
    }
}
