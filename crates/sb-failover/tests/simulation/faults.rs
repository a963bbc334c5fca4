//! What goes wrong, and how it ends.

use sb_failover::Timings;
use sb_failover::record::{Durability, Pause, Request, Transfer, TransferId, TransferKind};

use crate::profile::MS;
use crate::server::{index, name};
use crate::world::{What, World};

/// Something that goes wrong and is put right later.
#[derive(Clone, Debug)]
pub enum Fault {
    HostLost(Vec<usize>),
    AgentFrozen(usize),
    Cut(Vec<(usize, usize)>),
    Stalled(usize),
    Deaf(usize),
    Slow(usize),
    GuardLost(usize),
    StoreDown,
    AgentRestarts(usize),
}

impl World {
    pub fn fault(&mut self) {
        let again = self.ns(self.profile.fault_every_ms);
        self.after(again, What::Fault);
        let victim = self.victim();
        if self.profile.failsafe && self.rng.chance(25) {
            self.store_in_trouble(victim);
        }
        if self.profile.failsafe && self.rng.chance(10) {
            self.forget_a_promise();
        }
        // Troubles come in pairs.
        if self.rng.chance(30) {
            let cut = self.around(victim, true, true);
            let silent = if self.rng.chance(50) { Fault::Stalled(victim) } else { Fault::Cut(cut) };
            let soon = self.ns((0, 700));
            self.after(soon, What::Strike { fault: silent, lasts_ms: (3_000, 9_000) });
        }
        match self.rng.range(0, 23) {
            0 | 1 => self.strike(Fault::HostLost(vec![victim]), (500, 10_000)),
            2 => {
                let mates = self.site_of(victim);
                self.strike(Fault::HostLost(mates), (500, 8_000));
            }
            3 | 4 => self.strike(Fault::AgentFrozen(victim), (100, 9_000)),
            5 => self.restart_agent(victim),
            6 | 7 => self.crash_postgres(victim),
            8 | 9 => {
                let cut = self.around(victim, true, true);
                self.strike(Fault::Cut(cut), (500, 10_000));
            }
            10 => {
                let out = self.rng.chance(50);
                let cut = self.around(victim, out, !out);
                self.strike(Fault::Cut(cut), (500, 8_000));
            }
            11 => {
                let other = self.rng.pick(self.servers.len());
                self.strike(Fault::Cut(vec![(victim, other), (other, victim)]), (500, 10_000));
            }
            12 => {
                let cut = self.split();
                self.strike(Fault::Cut(cut), (500, 8_000));
            }
            13 => self.strike(Fault::Stalled(victim), (1_000, 8_000)),
            14 => self.strike(Fault::Deaf(victim), (500, 6_000)),
            15 => self.strike(Fault::Slow(victim), (500, 8_000)),
            16 => self.ask_for_transfer(),
            17 => self.ask_for_pause(),
            // The last renewal gets through, its echo comes late, and nothing gets through after it.
            18 | 19 => {
                let soon = self.ns((0, 500));
                self.strike(Fault::Deaf(victim), (300, 3_300));
                self.after(soon, What::Strike { fault: Fault::Stalled(victim), lasts_ms: (5_000, 9_000) });
            }
            20 => self.strike(Fault::GuardLost(victim), (200, 6_000)),
            21 => self.ask_for_durability(),
            _ => {
                self.ask_for_timings();
                let soon = self.ns((0, 700));
                self.after(soon, What::Strike { fault: Fault::Deaf(victim), lasts_ms: (500, 8_000) });
            }
        }
    }

    /// The store is away for a while; often its clients are changing the lease's length, or a member restarts
    /// just after it has promised.
    fn store_in_trouble(&mut self, victim: usize) {
        if self.rng.chance(40) {
            self.ask_for_timings();
        }
        let soon = self.ns((0, 300));
        if self.rng.chance(60) {
            self.after(soon, What::Strike { fault: Fault::StoreDown, lasts_ms: (1_000, 12_000) });
        } else {
            self.after(soon, What::Strike { fault: Fault::Stalled(victim), lasts_ms: (1_000, 12_000) });
        }
        let other = self.rng.pick(self.servers.len());
        let later = self.ns((1_000, 5_000));
        let fault = match self.rng.range(0, 4) {
            0 => Fault::AgentRestarts(other),
            1 => Fault::HostLost(vec![other]),
            2 => Fault::Cut(self.around(other, true, true)),
            _ => Fault::AgentFrozen(other),
        };
        self.after(later, What::Strike { fault, lasts_ms: (100, 6_000) });
    }

    /// A lease is made longer; before it is renewed at that length the store goes, so that the others are asked for
    /// more than the last renewal says. Then the holder's agent hangs, somebody restarts, and the store is back.
    fn forget_a_promise(&mut self) {
        let Some(holder) = (0..self.servers.len()).find(|s| self.servers[*s].is_primary()) else {
            return;
        };
        let (first, goes) = (1_000, self.rng.range(1_010, 1_400));
        self.ask_for_lease(2_500, 0);
        self.ask_for_lease(9_000, first * MS);
        self.after(goes * MS, What::Strike { fault: Fault::StoreDown, lasts_ms: (1_500, 2_500) });
        let hangs = goes + self.rng.range(900, 1_500);
        self.after(hangs * MS, What::Strike { fault: Fault::AgentFrozen(holder), lasts_ms: (7_000, 9_000) });
        for other in (0..self.servers.len()).filter(|s| *s != holder) {
            let restarts = hangs + self.rng.range(0, 100);
            self.after(
                restarts * MS,
                What::Strike { fault: Fault::AgentRestarts(other), lasts_ms: (100, 200) },
            );
        }
    }

    /// Half of the time the primary.
    fn victim(&mut self) -> usize {
        let primary = (0..self.servers.len()).find(|s| self.servers[*s].is_primary());
        match primary {
            Some(primary) if self.rng.chance(50) => primary,
            Some(_) | None => self.rng.pick(self.servers.len()),
        }
    }

    fn site_of(&self, server: usize) -> Vec<usize> {
        let site = &self.servers[server].config.member.site;
        (0..self.servers.len()).filter(|s| self.servers[*s].config.member.site == *site).collect()
    }

    fn around(&self, server: usize, out: bool, into: bool) -> Vec<(usize, usize)> {
        let others = (0..self.servers.len()).filter(|o| *o != server);
        others.flat_map(|o| [(out, (server, o)), (into, (o, server))]).filter(|c| c.0).map(|c| c.1).collect()
    }

    fn split(&mut self) -> Vec<(usize, usize)> {
        let count = self.servers.len();
        let sides: Vec<bool> = (0..count).map(|_| self.rng.chance(50)).collect();
        let pairs = (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
        pairs.filter(|(a, b)| sides[*a] != sides[*b]).collect()
    }

    pub fn strike(&mut self, fault: Fault, lasts_ms: (u64, u64)) {
        self.note(|| format!("fault {fault:?}"));
        match &fault {
            Fault::HostLost(servers) => servers.iter().for_each(|s| self.servers[*s].crash()),
            Fault::AgentFrozen(server) => self.servers[*server].frozen = true,
            Fault::Cut(links) => links.iter().for_each(|(a, b)| self.links[*a][*b] = false),
            Fault::Stalled(server) => self.servers[*server].stalled = true,
            Fault::Deaf(server) => {
                self.deaf.insert(*server);
            }
            Fault::Slow(server) => {
                self.slow.insert(*server);
            }
            Fault::GuardLost(server) => self.lose_guard(*server),
            Fault::StoreDown => self.store_down = true,
            Fault::AgentRestarts(server) => self.restart_agent(*server),
        }
        let lasts = self.ns(lasts_ms);
        self.after(lasts, What::Heal(fault));
    }

    pub fn heal(&mut self, fault: &Fault) {
        self.note(|| format!("heal {fault:?}"));
        match fault {
            Fault::HostLost(servers) => {
                for server in servers {
                    self.boot(*server);
                }
            }
            Fault::AgentFrozen(server) => self.thaw(*server),
            Fault::Cut(links) => links.iter().for_each(|(a, b)| self.links[*a][*b] = true),
            Fault::Stalled(server) => self.servers[*server].stalled = false,
            Fault::Deaf(server) => {
                self.deaf.remove(server);
            }
            Fault::Slow(server) => {
                self.slow.remove(server);
            }
            Fault::GuardLost(server) => self.regain_guard(*server),
            Fault::StoreDown => self.store_down = false,
            Fault::AgentRestarts(_) => {}
        }
    }

    pub fn heal_everything(&mut self) {
        self.note(|| "calm".into());
        self.drop_faults();
        self.lossy = false;
        self.profile.failing_operations = 0;
        self.ask_for_the_first_durability();
        let lost = self.voter_lost();
        if let Some(server) = lost {
            self.note(|| format!("s{server} never returns"));
            self.servers[server].crash();
            self.servers[server].lost = true;
        }
        for server in (0..self.servers.len()).filter(|s| Some(*s) != lost) {
            self.boot(server);
            self.thaw(server);
            self.servers[server].stalled = false;
            if !self.servers[server].guard.there {
                self.regain_guard(server);
            }
        }
        self.deaf.clear();
        self.store_down = false;
        self.slow.clear();
        self.links.iter_mut().flatten().for_each(|l| *l = true);
    }

    /// Sometimes a voter of a primary that has settled its set, if another server can take its place: the
    /// others must do without it.
    fn voter_lost(&mut self) -> Option<usize> {
        let record = std::sync::Arc::clone(self.store.newest());
        let settled = record.sync.term == record.term() && record.holder().is_some();
        let voter = record.sync.voters.first().filter(|_| settled).map(index)?;
        let site = |s: usize| &self.servers[s].config.member.site;
        let holder = record.holder().map(index)?;
        let replaced = (0..self.servers.len()).any(|s| s != voter && site(s) != site(holder));
        (replaced && self.rng.chance(40)).then_some(voter)
    }

    fn boot(&mut self, server: usize) {
        if !self.servers[server].up {
            let (now, profile) = (self.now, self.profile.clone());
            self.servers[server].boot(now, &profile);
            self.begin_agent(server);
        }
    }

    fn thaw(&mut self, server: usize) {
        let s = &mut self.servers[server];
        if s.up && s.frozen {
            s.frozen = false;
            let inbox = std::mem::take(&mut s.inbox);
            s.wake = None;
            for event in inbox {
                self.feed(server, event);
            }
            self.feed(server, sb_failover::Event::Timeout);
        }
    }

    fn restart_agent(&mut self, server: usize) {
        if self.servers[server].up {
            self.note(|| format!("fault agent of s{server} restarts"));
            let (now, profile) = (self.now, self.profile.clone());
            self.servers[server].restart_agent(now, &profile);
            self.begin_agent(server);
        }
    }

    fn crash_postgres(&mut self, server: usize) {
        let run = self.servers[server].run;
        self.note(|| format!("fault PostgreSQL of s{server} crashes"));
        self.servers[server].guard.killing = true;
        self.after(0, What::Killed { server, run, op: None });
    }

    fn ask(&mut self, request: Request) {
        let delay = self.ns((1, 50));
        self.after(delay, What::Arrive { server: None, request: Box::new(request), tries: 0 });
    }

    fn ask_for_transfer(&mut self) {
        let to = self.rng.pick(self.servers.len() + 1);
        let named = (to < self.servers.len()).then(|| name(to));
        let lossy = !self.profile.durability.is_synchronous() && named.is_some() && self.rng.chance(30);
        let accept_data_loss_bytes = self.rng.range(0, 100_000);
        let kind =
            if lossy { TransferKind::Failover { accept_data_loss_bytes } } else { TransferKind::Switchover };
        let id = TransferId(self.rng.next());
        self.ask(Request::RequestTransfer {
            transfer: Transfer { id, to: named, kind, by: "person".into() },
        });
    }

    fn ask_for_pause(&mut self) {
        let (id, for_ms) = (self.rng.next(), self.rng.range(500, 6_000));
        self.ask(Request::SetPause {
            pause: Pause { id, for_ms, by: "person".into(), reason: "test".into() },
        });
    }

    /// Another number, or that it never falls back. Never less than the profile promises.
    fn ask_for_durability(&mut self) {
        if self.profile.durability.is_synchronous() {
            let number = 1 + self.rng.pick(2);
            let strict = self.profile.durability == Durability::Strict || self.rng.chance(30);
            let durability = if strict { Durability::Strict } else { Durability::Sync };
            self.ask(Request::SetDurability { durability, number });
        }
    }

    /// Back to what can be kept when a server never returns. Refused while an election is under way, so asked for again.
    fn ask_for_the_first_durability(&mut self) {
        let durability = self.profile.durability;
        if durability.is_synchronous() {
            for seconds in [0, 3, 6, 9] {
                let request = Box::new(Request::SetDurability { durability, number: 1 });
                self.after(seconds * 1_000 * MS, What::Arrive { server: None, request, tries: 0 });
            }
        }
    }

    /// What the founder's agent does with the times of its policy.
    pub fn put_timings_in_force(&mut self) {
        let timings = self.profile.timings.clone();
        let lag_bytes_max = self.store.newest().lag_bytes_max;
        self.ask(Request::SetTimings { timings, lag_bytes_max });
    }

    fn ask_for_timings(&mut self) {
        let ttl_ms = [2_500, 3_500, 6_000][self.rng.pick(3)];
        let delay = self.ns((1, 50));
        self.ask_for_lease(ttl_ms, delay);
    }

    fn ask_for_lease(&mut self, ttl_ms: u64, delay: u64) {
        let timings = Timings { ttl_ms, ..self.profile.timings.clone() };
        let lag_bytes_max = self.store.newest().lag_bytes_max;
        let request = Box::new(Request::SetTimings { timings, lag_bytes_max });
        self.after(delay, What::Arrive { server: None, request, tries: 0 });
    }
}
