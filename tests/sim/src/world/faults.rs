//! What goes wrong.

use sb_failover::record::Standing;
use sb_failover::{ClusterRecord, Failsafe, Request};

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
    /// The guard is stopped.
    GuardStopped(usize),
    /// PostgreSQL dies by itself.
    PostgresCrash(usize),
    /// It takes connections and answers nothing.
    PostgresHung(usize),
    /// The server's directories are lost; it joins anew.
    Wiped(usize),
    /// The store's directory was refused and is replaced.
    StoreReplaced(usize),
    /// The stores of these servers hear nobody and are heard by nobody; everything else goes on.
    StoreCut(Vec<usize>),
}

impl Fault {
    /// What kind of fault it is, for counting.
    pub const fn name(&self) -> &'static str {
        match self {
            Fault::HostLost(servers) if servers.len() > 1 => "fault: site lost",
            Fault::HostLost(_) => "fault: host lost",
            Fault::AgentCrash(_) => "fault: agent crashed",
            Fault::AgentFrozen(_) => "fault: agent frozen",
            Fault::HostSuspended { clock_stands_still: true, .. } => "fault: host suspended with its clock",
            Fault::HostSuspended { clock_stands_still: false, .. } => "fault: host suspended",
            Fault::Cut(_) => "fault: links cut",
            Fault::SlowLinks(_) => "fault: links slow",
            Fault::Deaf(_) => "fault: machine deaf to its store",
            Fault::SlowReceiver(_) => "fault: receiver slow",
            Fault::SlowDisk(_) => "fault: disk slow",
            Fault::FullDisk(_) => "fault: disk full",
            Fault::DiskError(_) => "fault: disk fails",
            Fault::GuardLost(_) => "fault: guard lost",
            Fault::GuardStopped(_) => "fault: guard stopped",
            Fault::PostgresCrash(_) => "fault: PostgreSQL crashed",
            Fault::PostgresHung(_) => "fault: PostgreSQL hangs",
            Fault::Wiped(_) => "fault: directories lost",
            Fault::StoreReplaced(_) => "fault: store refused",
            Fault::StoreCut(_) => "fault: store cut off",
        }
    }
}

impl World {
    pub fn fault(&mut self) {
        let again = self.ns(self.profile.fault_every_ms);
        self.after(again, What::Fault);
        let victim = self.victim();
        // Troubles come in pairs.
        if self.rng.chance(30) {
            let both = self.rng.chance(50);
            let silent = Fault::Cut(self.around(victim, true, both));
            let soon = self.ns((0, 700));
            self.after(soon, What::Strike { fault: Box::new(silent), lasts_ms: (3_000, 9_000) });
        }
        if self.profile.timings.failsafe == Failsafe::On && self.rng.chance(25) {
            self.store_in_trouble(victim);
        }
        match self.rng.range(0, 34) {
            0..12 => self.process_fault(victim),
            12..24 => self.network_fault(victim),
            24..27 => self.ask_for_transfer(),
            27 => self.ask_for_pause(),
            28 | 29 => self.late_echo(victim),
            30 => self.ask_for_durability(),
            31 => self.strike(Fault::StoreCut(vec![victim]), (1_000, 8_000)),
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

    /// The store is away for a while, for everybody or for one; often a member restarts just after it has promised.
    fn store_in_trouble(&mut self, victim: usize) {
        if self.rng.chance(40) {
            self.ask_for_timings();
        }
        let soon = self.ns((0, 300));
        let away = if self.rng.chance(60) { (0..self.count()).collect() } else { vec![victim] };
        let fault = Box::new(Fault::StoreCut(away));
        self.after(soon, What::Strike { fault, lasts_ms: (1_000, 12_000) });
        let (other, later) = (self.rng.pick(self.count()), self.ns((1_000, 5_000)));
        let fault = Box::new(match self.rng.range(0, 5) {
            0 => Fault::AgentCrash(other),
            // It promised a moment ago, and hears no more of the holder when it is back.
            1 => {
                let gone = Box::new(Fault::Cut(self.around(victim, true, true)));
                self.after(later, What::Strike { fault: gone, lasts_ms: (4_000, 9_000) });
                Fault::AgentCrash(other)
            }
            2 => Fault::HostLost(vec![other]),
            3 => Fault::Cut(self.around(other, true, true)),
            _ => Fault::AgentFrozen(other),
        });
        self.after(later, What::Strike { fault, lasts_ms: (100, 6_000) });
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
            11 if self.rng.chance(50) => self.strike(Fault::GuardStopped(victim), (200, 12_000)),
            11 => self.strike(Fault::GuardLost(victim), (200, 6_000)),
            12 => self.strike(Fault::SlowDisk(victim), (500, 8_000)),
            13 => self.strike(Fault::FullDisk(victim), (500, 8_000)),
            14 => self.strike(Fault::DiskError(victim), (0, 1)),
            _ if self.wiped || self.has_the_last_copy(victim) => {
                self.strike(Fault::SlowReceiver(victim), (500, 8_000))
            }
            _ => self.strike(Fault::Wiped(victim), (500, 3_000)),
        }
    }

    /// Whether nobody else has a whole copy on the cluster's line. Losing it is the end of the data: others may be
    /// copying from it, or have left the line, and no order of theirs brings a primary back (docs/open-points.md). A
    /// promotion of its own may be on its way to the record and be carried out after it is gone.
    fn has_the_last_copy(&self, victim: usize) -> bool {
        let mut record = ClusterRecord::clone(&self.ledger.newest());
        let (s, term) = (&self.servers[victim], record.term());
        // Refused unless it holds the lease and its line is a new one.
        let _ = record.apply(&Request::Promoted {
            holder: s.name.clone(),
            incarnation: s.config.member.incarnation,
            term,
            lineage: s.postgres.position().lineage,
        });
        (0..self.count()).filter(|s| *s != victim).all(|s| !self.has_whole_copy(s, &record))
    }

    /// Whether the copy of `server` is neither half-made nor off the line of `record`.
    pub fn has_whole_copy(&self, server: usize, record: &ClusterRecord) -> bool {
        let p = &self.servers[server].postgres;
        let on_line = record.standing(&p.position()).is_some_and(|s| s != Standing::Diverged);
        p.has_data && !p.torn && on_line
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
