//! The synchronous set: a new primary settles its own, then one standby at a time joins or leaves (R6).

use std::collections::BTreeSet;

use sb_pgtypes::Lsn;
use sb_topology::ServerName;

use crate::record::{Durability, SyncRecord};
use crate::timings::ms;
use crate::{Command, Request, SyncStandbys};

use super::Machine;
use super::work::Purpose;

/// The next change: what grows goes first, what shrinks goes second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SyncStep {
    /// PostgreSQL and the record agree, and nobody joins or leaves.
    Nothing,
    /// To PostgreSQL.
    Postgres(BTreeSet<ServerName>),
    /// Into the record.
    Record(BTreeSet<ServerName>),
}

/// The next step of a primary whose clients are in. `names` is what is effective at PostgreSQL, [`None`] when
/// that is not known; `healthy` stream from it; `gone` have not for long.
pub(super) fn next_step(
    record: &SyncRecord,
    names: Option<&BTreeSet<ServerName>>,
    healthy: &BTreeSet<ServerName>,
    gone: &BTreeSet<ServerName>,
) -> SyncStep {
    let voters = &record.voters;
    if record.degraded {
        let formed = names.filter(|n| n.len() >= record.number && n.is_subset(healthy));
        return match formed {
            Some(names) => SyncStep::Record(names.clone()),
            None if healthy.len() >= record.number => SyncStep::Postgres(healthy.clone()),
            None => SyncStep::Nothing,
        };
    }
    let Some(names) = names.filter(|n| n.is_subset(voters)) else {
        // Whatever was tried is part of V, so V may grow, and must when those in it do not answer.
        let silent = voters.intersection(healthy).count() < record.number;
        return match healthy.difference(voters).next() {
            Some(server) if silent => SyncStep::Record(voters.iter().chain([server]).cloned().collect()),
            Some(_) | None => SyncStep::Postgres(voters.clone()),
        };
    };
    let missing: BTreeSet<_> = voters.difference(names).cloned().collect();
    if let Some(server) = missing.first() {
        let leaving = missing.len() == 1 && gone.contains(server);
        return if leaving { SyncStep::Record(names.clone()) } else { SyncStep::Postgres(voters.clone()) };
    }
    if let Some(server) = healthy.difference(voters).next() {
        return SyncStep::Record(voters.iter().chain([server]).cloned().collect());
    }
    match voters.intersection(gone).next() {
        Some(server) if voters.len() > record.number => {
            SyncStep::Postgres(voters.iter().filter(|v| *v != server).cloned().collect())
        }
        Some(_) | None => SyncStep::Nothing,
    }
}

impl Machine {
    /// Standbys that commits may wait for: eligible, promotable, at another site.
    fn eligible(&self) -> BTreeSet<ServerName> {
        let Some(record) = &self.record else {
            return BTreeSet::new();
        };
        let members = record.members.iter();
        let fits = members.filter(|(s, m)| {
            **s != self.config.me && m.site != self.config.member.site && m.sync_eligible && m.promotable
        });
        fits.map(|(s, _)| s.clone()).collect()
    }

    fn streaming(&self) -> BTreeSet<ServerName> {
        let followers = self.postgres.iter().flat_map(|p| &p.followers);
        followers.filter(|f| f.streaming).map(|f| f.server.clone()).collect()
    }

    /// How many of `names` have flushed up to `end`.
    pub(super) fn flushed_by(&self, names: &BTreeSet<ServerName>, end: Lsn) -> usize {
        let followers = self.postgres.iter().flat_map(|p| &p.followers);
        followers.filter(|f| f.flushed >= end && names.contains(&f.server)).count()
    }

    pub(super) fn is_synchronous(&self) -> bool {
        self.record.as_ref().is_some_and(|r| r.sync.durability.is_synchronous())
    }

    /// The set a primary starts with: that of the record if it is its own, else those that took part in its
    /// election. Nothing is acknowledged before it is settled, so this is only a guess at who will stream, and
    /// gives way to those that do.
    pub(super) fn sync_target(&self) -> SyncStandbys {
        let Some(sync) = self.record.as_ref().map(|r| &r.sync).filter(|s| s.durability.is_synchronous())
        else {
            return SyncStandbys::default();
        };
        if sync.degraded {
            return SyncStandbys::default();
        }
        if sync.term == self.keeper.term {
            return SyncStandbys { number: sync.number, names: sync.voters.clone() };
        }
        let eligible = self.eligible();
        let mut names: BTreeSet<_> = eligible.intersection(&self.witnesses).cloned().collect();
        if names.len() < sync.number {
            names.extend(sync.voters.iter().chain(&sync.leader).filter(|s| eligible.contains(*s)).cloned());
        }
        if names.len() < sync.number {
            names.clone_from(&eligible);
        }
        let healthy: BTreeSet<_> = eligible.intersection(&self.streaming()).cloned().collect();
        if healthy.len() >= sync.number && names.intersection(&healthy).count() < sync.number {
            names = healthy;
        }
        SyncStandbys { number: sync.number, names }
    }

    /// Whether enough standbys have the whole log up to `end` for clients to come in; does the next thing if
    /// not.
    pub(super) fn settle(&mut self, end: Lsn) -> bool {
        let term = self.keeper.term;
        let Some(sync) = self.record.as_ref().map(|r| r.sync.clone()) else {
            return false;
        };
        if !sync.durability.is_synchronous() {
            return true;
        }
        if sync.allows_clients(term) {
            let enough = sync.degraded || self.flushed_by(&sync.voters, end) >= sync.number;
            if !enough {
                // Those that stream may join and those that are gone may leave, as with clients.
                self.tend_sync();
            }
            return enough;
        }
        if sync.degraded && sync.durability == Durability::Sync {
            let leader = Some(self.config.me.clone());
            self.put_sync(SyncRecord { term, leader, ..sync });
            return false;
        }
        let names = self.sync_names.as_ref().map(|s| s.names.clone()).unwrap_or_default();
        let unflushed = self.mutant == Some(crate::mutant::Mutant::SettleUnflushed);
        if names.len() >= sync.number && (unflushed || self.flushed_by(&names, end) >= sync.number) {
            self.put_sync(sync.settled(term, self.config.me.clone(), names));
            return false;
        }
        let healthy: BTreeSet<_> = self.eligible().intersection(&self.streaming()).cloned().collect();
        if healthy.len() >= sync.number && names.intersection(&healthy).count() < sync.number {
            self.set_names(sync.number, healthy);
        }
        false
    }

    /// Makes sure of what PostgreSQL waits for where that is not known: an adopted primary, one that has just
    /// been promoted, a change that failed.
    pub(super) fn establish_names(&mut self) {
        let own = self.record.as_ref().is_some_and(|r| r.sync.term == self.keeper.term && !r.sync.degraded);
        if own {
            return self.tend_sync();
        }
        let SyncStandbys { number, names } = self.sync_target();
        self.set_names(number, names);
    }

    fn set_names(&mut self, number: usize, names: BTreeSet<ServerName>) {
        self.begin(|op| Command::SetSyncStandbys { op, sync: SyncStandbys { number, names } });
    }

    fn put_sync(&mut self, sync: SyncRecord) {
        let Some(expect) = self.record.as_ref().map(|r| r.sync.clone()) else {
            return;
        };
        self.ask(Purpose::SetSync, |m| Request::SetSync {
            holder: m.config.me.clone(),
            incarnation: m.config.member.incarnation,
            term: m.keeper.term,
            expect,
            sync,
        });
    }

    /// Lets standbys join and leave, one at a time.
    pub(super) fn tend_sync(&mut self) {
        let Some(sync) = self.record.as_ref().map(|r| r.sync.clone()) else {
            return;
        };
        if !sync.durability.is_synchronous() || sync.term != self.keeper.term {
            return;
        }
        let streaming = self.streaming();
        let eligible = self.eligible();
        let (now, after) = (self.now, ms(self.timings().shrink_after_ms));
        for voter in &sync.voters {
            if streaming.contains(voter) {
                self.silent.remove(voter);
            } else {
                self.silent.entry(voter.clone()).or_insert(now);
            }
        }
        let gone =
            self.silent.iter().filter(|(_, since)| now >= **since + after).map(|(s, _)| s.clone()).collect();
        let healthy = eligible.intersection(&streaming).cloned().collect();
        let names = self.sync_names.as_ref().map(|s| &s.names);
        match next_step(&sync, names, &healthy, &gone) {
            SyncStep::Nothing => {}
            SyncStep::Postgres(names) => self.set_names(sync.number, names),
            SyncStep::Record(voters) => {
                self.put_sync(sync.settled(sync.term, self.config.me.clone(), voters));
            }
        }
    }
}
