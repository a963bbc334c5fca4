//! The synchronous set as the primary tends it: what [`crate::resolver`] decides from is gathered here, and its one step
//! carried out (R6).

use std::collections::{BTreeMap, BTreeSet};

use sb_pgtypes::Lsn;
use sb_topology::{ServerName, SiteName};
use serde::{Deserialize, Serialize};

use crate::mutant::Mutant;
use crate::record::{Durability, SyncRecord};
use crate::resolver::{
    Candidate, Change, InForce, Late, Owner, Patience, Presence, Recorded, Situation, Standbys, Step,
    members, next,
};
use crate::{Command, JournalEntry, OpOutput, Request, SyncStandbys};

use super::Machine;
use super::work::Purpose;

/// What PostgreSQL is known to wait for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Setting {
    pub(super) sync: SyncStandbys,
    /// The end of the log when everybody had loaded it; [`None`] on a standby, or when nobody is waited for.
    barrier: Option<Lsn>,
}

impl Setting {
    pub(super) fn new(sync: SyncStandbys, output: &OpOutput) -> Self {
        let barrier = match output {
            OpOutput::Effective { at } => Some(*at),
            OpOutput::At(position) => Some(position.flushed),
            OpOutput::Nothing | OpOutput::Promoted(_) | OpOutput::Initialized { .. } => None,
        };
        Self { sync, barrier }
    }
}

/// Up to which version of the synchronous state a change that was proposed may still be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Doubt {
    /// The agent's run before this one may have proposed something.
    Predecessor,
    /// A change was proposed that starts from this version.
    At(u64),
    /// Nothing was proposed that could do harm.
    Nothing,
}

/// What a [`Situation`] is made of.
struct Gathered {
    sync: SyncRecord,
    postgres: Option<InForce<ServerName>>,
    late: Late,
    patience: Patience,
    wanted: BTreeSet<ServerName>,
    ready: BTreeSet<ServerName>,
    expected: BTreeSet<ServerName>,
    answering: BTreeSet<ServerName>,
    gone: BTreeSet<ServerName>,
    past_barrier: BTreeSet<ServerName>,
}

impl Gathered {
    /// Whether the record may already promise less than is known here. PostgreSQL was started with the set that is
    /// known, which can be a looser one than it had when that change was proposed.
    fn is_in_doubt(&self) -> bool {
        self.late == Late::Possible && concerns(&self.sync)
    }
}

impl Machine {
    pub(super) fn is_synchronous(&self) -> bool {
        self.record.as_ref().is_some_and(|r| r.sync.durability.is_synchronous())
    }

    /// Standbys that commits may wait for, with their sites: eligible, promotable, at another site than this one.
    fn eligible(&self) -> BTreeMap<ServerName, (SiteName, u32)> {
        let members = self.record.iter().flat_map(|r| &r.members);
        let fits = members.filter(|(s, m)| {
            **s != self.config.me && m.site != self.config.member.site && m.sync_eligible && m.promotable
        });
        fits.map(|(s, m)| (s.clone(), (m.site.clone(), m.priority))).collect()
    }

    /// Notes how the standbys answer.
    pub(super) fn look_at_followers(&mut self) {
        let (Some(record), Some(postgres)) = (&self.record, &self.postgres) else {
            return;
        };
        let Some(end) = postgres.position.as_ref().map(|p| p.flushed) else {
            return;
        };
        self.answers.look(self.now, end, &postgres.followers, record.members.keys().cloned());
    }

    /// How many of `names` have flushed up to `end`.
    pub(super) fn flushed_by(&self, names: &BTreeSet<ServerName>, end: Lsn) -> usize {
        self.answers.past(names, end).len()
    }

    /// The set that PostgreSQL starts or is promoted with: that of the record if it is this term's, else those that
    /// took part in the election. Nothing is acknowledged before it is settled, so this is only a guess at who will
    /// stream, and gives way to those that do.
    pub(super) fn sync_target(&self) -> SyncStandbys {
        let sync = self.record.as_ref().map(|r| &r.sync).filter(|s| s.durability.is_synchronous());
        let Some(sync) = sync.filter(|s| !s.degraded) else {
            return SyncStandbys::default();
        };
        if sync.term == self.keeper.term {
            return SyncStandbys { number: sync.counted_on(), names: sync.voters.clone() };
        }
        let eligible: BTreeSet<_> = self.eligible().into_keys().collect();
        let mut names: BTreeSet<_> = eligible.intersection(&self.witnesses).cloned().collect();
        if names.len() < sync.number {
            names.extend(sync.voters.iter().chain(&sync.leader).filter(|s| eligible.contains(*s)).cloned());
        }
        if names.len() < sync.number {
            names = eligible;
        }
        SyncStandbys { number: sync.number.min(names.len()), names }
    }

    /// Whether clients may come in: the record promises nothing else than what PostgreSQL waits for, and enough
    /// standbys have the whole log up to `end`.
    pub(super) fn may_open(&self, end: Lsn) -> bool {
        let Some(gathered) = self.gather(Some(end)) else {
            return false;
        };
        let sync = &gathered.sync;
        if !sync.allows_clients(self.keeper.term) || gathered.is_in_doubt() {
            return false;
        }
        if !sync.durability.is_synchronous() || sync.degraded {
            return true;
        }
        let sound = gathered.postgres.as_ref().filter(|set| self.situation(&gathered).check(set).is_ok());
        sound.is_some_and(|set| self.flushed_by(&set.names, end) >= set.number)
    }

    /// Takes the next step towards the set that shall be. `end` is what a new primary's standbys must have flushed
    /// before its set counts.
    pub(super) fn tend_sync(&mut self, end: Option<Lsn>) {
        if self.doubt == Doubt::Predecessor && !self.bound_doubt() {
            return;
        }
        let sync = self.record.as_ref().map(|r| &r.sync).filter(|s| concerns(s));
        if sync.is_none_or(|s| self.sync_change_is_open(s)) {
            return;
        }
        let Some(gathered) = self.gather(end) else {
            return;
        };
        // Before clients come in, so that what they see confirmed is what elections count on.
        let opening = end.is_some();
        if opening && gathered.is_in_doubt() {
            return self.put_sync(gathered.sync, Change::Void);
        }
        match next(&self.situation(&gathered)) {
            Step::Record { change: Change::Set { voters, .. }, .. }
                if self.rules.broken_by(Mutant::PostgresFirst)
                    && self.setting.as_ref().is_some_and(|s| voters.len() > s.sync.names.len()) =>
            {
                let number = gathered.sync.number;
                let sync = SyncStandbys { number, names: voters };
                self.begin(|op| Command::SetSyncStandbys { op, sync });
            }
            Step::Rest(_) => {}
            Step::Postgres { number, names, .. } => {
                let sync = SyncStandbys { number, names };
                self.begin(|op| Command::SetSyncStandbys { op, sync });
            }
            Step::Record { change, .. } => self.put_sync(gathered.sync, change),
        }
    }

    /// A change of the run before can only start from what that run saw. Behind a renewal of this run the record has all of
    /// that; one that a start replays may be older, and PostgreSQL must not be made to wait for the set that it shows.
    fn bound_doubt(&mut self) -> bool {
        let fresh = self.record.as_ref().filter(|_| self.record_is_of_this_run());
        let Some(version) = fresh.map(|record| record.sync.version) else {
            return false;
        };
        self.doubt = Doubt::At(version);
        true
    }

    /// The next step, or why there is none; [`None`] where there is no set to look after.
    pub(super) fn sync_step(&self) -> Option<Step<ServerName>> {
        let end = self.stage.position.as_ref().map(|p| p.flushed);
        let gathered = self.gather(end).filter(|g| concerns(&g.sync))?;
        Some(next(&self.situation(&gathered)))
    }

    /// One write at a time: whether the answer to the last change is still to come.
    fn sync_change_is_open(&self, sync: &SyncRecord) -> bool {
        let setting =
            self.work.as_ref().is_some_and(|w| matches!(w.command, Command::SetSyncStandbys { .. }));
        let asked = self.asks.get(&Purpose::SetSync).is_some_and(|a| a.open);
        setting || (asked && self.sync_asked == Some(sync.version))
    }

    fn gather(&self, end: Option<Lsn>) -> Option<Gathered> {
        let sync = self.record.as_ref()?.sync.clone();
        let set = self.setting.as_ref();
        let postgres = set.map(|s| InForce { number: s.sync.number, names: s.sync.names.clone() });
        let mine = sync.term == self.keeper.term;
        // Of a former primary's voters nothing follows for the set to be made.
        let present: BTreeSet<_> = if mine && !sync.degraded { sync.voters.clone() } else { BTreeSet::new() };
        let named = set.filter(|_| present.is_empty()).map(|s| s.sync.names.clone()).unwrap_or_default();
        let present: BTreeSet<_> = present.union(&named).cloned().collect();
        let shrink_ms = self.timings().shrink_after_ms;
        let wanted = self.wanted(&present, sync.number);
        let all: BTreeSet<_> = wanted.union(&present).cloned().collect();
        let those = |fits: &dyn Fn(&ServerName) -> bool| all.iter().filter(|s| fits(s)).cloned().collect();
        let barrier = set.and_then(|s| s.barrier).map(|at| end.map_or(at, |end| at.max(end)));
        let late = match self.doubt {
            Doubt::Predecessor => Late::Possible,
            Doubt::At(version) if version == sync.version => Late::Possible,
            Doubt::At(_) | Doubt::Nothing => Late::Impossible,
        };
        let unflushed = self.rules.broken_by(Mutant::SettleUnflushed);
        let past_barrier = match barrier {
            _ if unflushed => all.clone(),
            Some(at) => self.answers.past(&all, at),
            None => BTreeSet::new(),
        };
        Some(Gathered {
            late,
            patience: self.patience(if mine && !sync.voters.is_empty() { &sync.voters } else { &all }, &sync),
            ready: those(&|s| self.answers.may_join(s)),
            answering: those(&|s| unflushed || self.answers.answers(s)),
            gone: those(&|s| self.answers.silent_for(s, shrink_ms)),
            past_barrier,
            expected: self.sync_target().names,
            wanted,
            postgres,
            sync,
        })
    }

    fn situation<'a>(&'a self, gathered: &'a Gathered) -> Situation<'a, ServerName> {
        let sync = &gathered.sync;
        Situation {
            me: &self.config.me,
            record: Recorded {
                durability: sync.durability,
                wanted: sync.wanted,
                number: sync.number,
                owner: if sync.term == self.keeper.term { Owner::Me } else { Owner::Former },
                voters: &sync.voters,
                quorum: sync.quorum,
                degraded: sync.degraded,
            },
            postgres: gathered.postgres.as_ref(),
            late: gathered.late,
            patience: gathered.patience,
            standbys: Standbys {
                wanted: &gathered.wanted,
                ready: &gathered.ready,
                expected: &gathered.expected,
                answering: &gathered.answering,
                gone: &gathered.gone,
                past_barrier: &gathered.past_barrier,
            },
        }
    }

    /// Who shall be in the set, given those that are.
    fn wanted(&self, present: &BTreeSet<ServerName>, number: usize) -> BTreeSet<ServerName> {
        let shrink_ms = self.timings().shrink_after_ms;
        let presence = |s: &ServerName| match (present.contains(s), self.answers.may_join(s)) {
            (true, _) if self.answers.answers(s) => Presence::Votes,
            (true, _) if !self.answers.silent_for(s, shrink_ms) => Presence::SilentVoter,
            (_, true) => Presence::Ready,
            (_, false) => Presence::Absent,
        };
        let candidates = self.eligible().into_iter().map(|(s, (site, priority))| {
            let presence = presence(&s);
            (s, Candidate { site, priority, presence })
        });
        members(&candidates.collect(), number)
    }

    fn patience(&self, names: &BTreeSet<ServerName>, sync: &SyncRecord) -> Patience {
        let limit_ms = self.timings().fallback_after_ms;
        let lately = names.iter().filter(|s| !self.answers.silent_for(s, limit_ms)).count();
        // Commits may wait for more already than elections count on.
        let waited_for = self.setting.as_ref().map_or(0, |s| s.sync.number);
        let needed = sync.counted_on().max(sync.number.min(1)).max(waited_for);
        let over = self.answers.watched_for(limit_ms) && lately < needed;
        if over { Patience::Over } else { Patience::Lasts }
    }

    fn put_sync(&mut self, expect: SyncRecord, change: Change<ServerName>) {
        let (me, term) = (self.config.me.clone(), self.keeper.term);
        let tightens = match &change {
            Change::Void | Change::FallBack => false,
            Change::Form { .. } => true,
            Change::Set { voters, quorum } => *quorum < expect.quorum || !expect.voters.is_subset(voters),
        };
        let sync = match change {
            Change::Void => expect.voided(),
            Change::FallBack => {
                let silent = if expect.degraded { expect.silent.clone() } else { self.silent(&expect) };
                expect.fallen_back(term, me, silent)
            }
            Change::Form { voters } => expect.settled(term, me, voters),
            Change::Set { voters, quorum } => expect.with_voters(voters, quorum),
        };
        if !self.may_ask(Purpose::SetSync) {
            return;
        }
        if tightens {
            self.doubt = Doubt::At(expect.version);
        }
        self.sync_asked = Some(expect.version);
        self.ask(Purpose::SetSync, |m| Request::SetSync {
            holder: m.config.me.clone(),
            incarnation: m.config.member.incarnation,
            term,
            expect,
            sync,
        });
    }

    /// Tells what has become of the promise. Every server does: whoever is asked later was there.
    pub(super) fn journal_sync(&mut self, before: &SyncRecord, after: &SyncRecord) {
        if before.version == after.version {
            return;
        }
        let (term, number) = (after.term, after.number);
        if (before.wanted, before.number) != (after.wanted, number) {
            self.journal(JournalEntry::PromiseChanged { wanted: after.wanted, number });
        }
        let kept = |sync: &SyncRecord| sync.durability.is_synchronous() && !sync.degraded;
        if kept(before) && after.degraded {
            self.journal(JournalEntry::FellBack { term, silent: after.silent.clone() });
        } else if kept(after) && (!kept(before) || before.term != term) {
            let (number, voters) = (after.counted_on(), after.voters.clone());
            self.journal(JournalEntry::SetFormed { term, number, voters });
        }
    }

    /// Who has not answered, of those that commits waited for.
    fn silent(&self, sync: &SyncRecord) -> BTreeSet<ServerName> {
        let limit_ms = self.timings().fallback_after_ms;
        sync.voters.iter().filter(|s| self.answers.silent_for(s, limit_ms)).cloned().collect()
    }
}

/// A cluster that has never promised anything has no set to look after.
fn concerns(sync: &SyncRecord) -> bool {
    sync.durability != Durability::Async || sync.wanted != Durability::Async || sync.version > 0
}
