use std::collections::BTreeSet;

use sb_topology::ServerName;
use serde::{Deserialize, Serialize};

use super::{ClusterRecord, Member, Outcome, Rejection};
use crate::{Incarnation, Term};

/// What a commit waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Durability {
    /// The primary's disk only.
    #[default]
    Async,
    /// n other servers; falls back to `Async` by an entry in the record when there are too few.
    Sync,
    /// n other servers, always.
    Strict,
}

impl Durability {
    /// Whether commits wait for other servers.
    #[must_use]
    pub const fn is_synchronous(self) -> bool {
        match self {
            Durability::Async => false,
            Durability::Sync | Durability::Strict => true,
        }
    }
}

/// The synchronous state that elections go by (R6).
///
/// While it is not degraded, a commit that was acknowledged in `term` is on the primary of that term and on at
/// least `|voters| − quorum` of `voters`, so `quorum + 1` of them cannot all lack it. It keeps to the last term that
/// *settled*: a new primary lets no client in before enough of its own standbys have all of its log and it has
/// put its own set here, so until then the promises are those of the term before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRecord {
    /// The promise that holds now.
    pub durability: Durability,
    /// n: how many other servers a commit shall wait for. What it waits for now follows step by step.
    pub number: usize,
    /// The term whose primary settled what follows.
    pub term: Term,
    /// Its primary (Ls).
    pub leader: Option<ServerName>,
    /// V: those that may have acknowledged. PostgreSQL's own set S is always a subset.
    pub voters: BTreeSet<ServerName>,
    /// q: from how many voters other than itself a candidate needs a report.
    pub quorum: usize,
    /// Commits wait for nobody: no server is known to have everything, so no automatic failover.
    pub degraded: bool,
    /// Rises with every change. A change names what it starts from, so any other change voids it.
    pub version: u64,
    /// The promise that was asked for; holds when a set that keeps it has formed.
    pub wanted: Durability,
    /// Who did not answer when it fell back. Empty where the set has never formed.
    pub silent: BTreeSet<ServerName>,
}

impl SyncRecord {
    /// The set of a cluster that begins: nobody to wait for yet.
    #[must_use]
    pub fn founding(durability: Durability, number: usize, leader: ServerName, term: Term) -> Self {
        let degraded = durability.is_synchronous();
        let (leader, wanted) = (Some(leader), durability);
        Self { durability, number, term, leader, degraded, wanted, ..Self::default() }
    }

    /// The promise that was asked for, kept by `voters` in `term` of `leader`.
    #[must_use]
    pub fn settled(&self, term: Term, leader: ServerName, voters: BTreeSet<ServerName>) -> Self {
        let quorum = voters.len().saturating_sub(self.number);
        Self {
            durability: self.wanted,
            term,
            leader: Some(leader),
            voters,
            quorum,
            degraded: false,
            silent: BTreeSet::new(),
            ..self.voided()
        }
    }

    /// The same with other voters or another quorum.
    #[must_use]
    pub fn with_voters(&self, voters: BTreeSet<ServerName>, quorum: usize) -> Self {
        Self { voters, quorum, ..self.voided() }
    }

    /// Nothing changes, but no change that was proposed before can be applied any more.
    #[must_use]
    pub fn voided(&self) -> Self {
        Self { version: self.version + 1, ..self.clone() }
    }

    /// Commits wait for nobody in `term` of `leader`, because of those in `silent`.
    #[must_use]
    pub fn fallen_back(&self, term: Term, leader: ServerName, silent: BTreeSet<ServerName>) -> Self {
        Self {
            term,
            leader: Some(leader),
            voters: BTreeSet::new(),
            quorum: 0,
            degraded: true,
            silent,
            ..self.voided()
        }
    }

    /// The same with another promise asked for. A weaker one holds at once; V and q stay, and follow step by step.
    fn asked(&self, wanted: Durability, number: usize) -> Self {
        let asked = Self { wanted, number, ..self.voided() };
        match (self.durability, wanted) {
            // Nobody elects by V any more, whatever PostgreSQL still waits for.
            (_, Durability::Async) => {
                let (voters, silent) = (BTreeSet::new(), BTreeSet::new());
                Self { durability: wanted, voters, quorum: 0, degraded: false, silent, ..asked }
            }
            (Durability::Strict, Durability::Sync) => Self { durability: wanted, ..asked },
            // Commits wait already; that they always will takes no more.
            (Durability::Sync, Durability::Strict) if !self.degraded => Self { durability: wanted, ..asked },
            (_, Durability::Sync | Durability::Strict) => asked,
        }
    }

    /// How many acknowledgements elections count on.
    #[must_use]
    pub fn counted_on(&self) -> usize {
        self.voters.len().saturating_sub(self.quorum)
    }

    /// Whether the primary of `term` may let clients in, as far as this record goes.
    #[must_use]
    pub fn allows_clients(&self, term: Term) -> bool {
        match self.durability {
            Durability::Async => true,
            Durability::Sync => self.term == term,
            Durability::Strict => self.term == term && !self.degraded,
        }
    }
}

impl ClusterRecord {
    pub(super) fn set_durability(&mut self, durability: Durability, number: usize) -> Outcome {
        let lease = self.lease.as_ref().ok_or(Rejection::NotInitialized)?;
        if durability.is_synchronous() != (number > 0) {
            return Err(Rejection::OutOfBounds);
        }
        if lease.released.is_some() || self.valid_reports().next().is_some() {
            return Err(Rejection::ElectionUnderWay);
        }
        let home = self.members.get(&lease.holder).map(|m| &m.site);
        let eligible = |m: &&Member| m.sync_eligible && m.promotable && Some(&m.site) != home;
        let have = self.members.values().filter(eligible).count();
        if have < number {
            return Err(Rejection::TooFewEligible { have, need: number });
        }
        if (self.sync.wanted, self.sync.number) != (durability, number) {
            self.sync = self.sync.asked(durability, number);
        }
        Ok(())
    }

    pub(super) fn set_sync(
        &mut self,
        claim: (&ServerName, Incarnation, Term),
        expect: &SyncRecord,
        sync: &SyncRecord,
    ) -> Outcome {
        self.held_by(claim)?;
        let (holder, _, term) = claim;
        let named = sync.term == term && sync.leader.as_ref() == Some(holder);
        let voided = *sync == expect.voided();
        if self.sync != *expect || !(voided || (named && allowed_step(expect, sync))) {
            return Err(Rejection::SyncStep);
        }
        let eligible = |s: &ServerName| *s != *holder && self.members.get(s).is_some_and(|m| m.sync_eligible);
        // Of those that were there already, one that is eligible no longer leaves by steps like this one.
        let new = |s: &ServerName| sync.term != expect.term || !expect.voters.contains(s);
        if !voided && !sync.voters.iter().filter(|s| new(s)).all(eligible) {
            return Err(Rejection::SyncStep);
        }
        self.sync = sync.clone();
        Ok(())
    }
}

/// One step at a time: a set forms or is settled anew, a voter joins or leaves, the quorum follows n, or it falls
/// back.
fn allowed_step(from: &SyncRecord, to: &SyncRecord) -> bool {
    let same_wish = from.wanted == to.wanted && from.number == to.number;
    if !same_wish || to.version != from.version + 1 || !to.durability.is_synchronous() {
        return false;
    }
    if to.degraded {
        // `strict` waits; a new primary goes on with a set that has never formed.
        let may = from.durability == Durability::Sync || from.degraded;
        return may && to.durability == from.durability && to.voters.is_empty() && to.quorum == 0;
    }
    let sound = to.quorum < to.voters.len();
    let formed = to.durability == to.wanted
        && to.voters.len() >= to.number
        && to.quorum == to.voters.len() - to.number;
    let nobody_elects_by_it = from.degraded
        || from.term < to.term
        || from.voters.is_empty()
        || from.durability == Durability::Async;
    if nobody_elects_by_it {
        return sound && formed;
    }
    let counted_on = |r: &SyncRecord| r.voters.len().checked_sub(r.quorum);
    let joins_or_leaves = from.voters.symmetric_difference(&to.voters).count() == 1;
    let moved = joins_or_leaves && counted_on(from) == counted_on(to);
    let asked = from.voters == to.voters && (to.quorum > from.quorum || formed);
    from.durability == to.durability && sound && (moved || asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<ServerName> {
        names.iter().map(|n| ServerName::new(*n).unwrap()).collect()
    }

    fn settled(names: &[&str]) -> SyncRecord {
        let leader = ServerName::new("p").unwrap();
        let founding = SyncRecord::founding(Durability::Sync, 1, leader.clone(), Term::new(1));
        founding.settled(Term::new(1), leader, set(names))
    }

    #[test]
    fn one_voter_joins_or_leaves_at_a_time() {
        let (one, two) = (settled(&["a"]), settled(&["a", "b"]));
        assert!(allowed_step(&one, &one.with_voters(set(&["a", "b"]), 1)));
        assert!(allowed_step(&two, &two.with_voters(set(&["b"]), 0)));
        assert!(!allowed_step(&one, &one.with_voters(set(&["a", "b", "c"]), 2)));
        assert!(!allowed_step(&one, &one.with_voters(set(&["b"]), 0)));
    }

    #[test]
    fn a_change_raises_the_version_by_one() {
        let one = settled(&["a"]);
        let grown = one.with_voters(set(&["a", "b"]), 1);
        assert!(!allowed_step(&one, &SyncRecord { version: one.version, ..grown.clone() }));
        assert!(!allowed_step(&one, &grown.voided()));
    }

    #[test]
    fn only_sync_falls_back() {
        let leader = ServerName::new("p").unwrap();
        let fallen = |r: &SyncRecord| r.fallen_back(r.term, leader.clone(), set(&["a"]));
        let sync = settled(&["a"]);
        assert!(allowed_step(&sync, &fallen(&sync)));
        let strict = SyncRecord { durability: Durability::Strict, wanted: Durability::Strict, ..sync };
        assert!(!allowed_step(&strict, &fallen(&strict)));
    }

    #[test]
    fn the_quorum_follows_n_and_only_n() {
        let two = SyncRecord { number: 2, ..settled(&["a", "b"]) };
        assert!(allowed_step(&two, &two.with_voters(two.voters.clone(), 0)));
        let one = SyncRecord { number: 1, ..two.with_voters(two.voters.clone(), 0) };
        assert!(allowed_step(&one, &one.with_voters(one.voters.clone(), 1)));
        let settled = settled(&["a", "b", "c"]);
        assert!(!allowed_step(&settled, &settled.with_voters(settled.voters.clone(), 1)));
    }

    #[test]
    fn a_quorum_that_could_miss_an_acknowledgement_is_refused() {
        let one = settled(&["a"]);
        assert!(!allowed_step(&one, &one.with_voters(set(&["a", "b"]), 0)));
        assert!(!allowed_step(&one, &one.with_voters(set(&[]), 0)));
    }

    #[test]
    fn a_weaker_promise_holds_at_once_and_a_stronger_one_when_it_is_kept() {
        let sync = settled(&["a", "b"]);
        let strict = sync.asked(Durability::Strict, 2);
        assert_eq!((strict.durability, strict.counted_on(), strict.number), (Durability::Strict, 1, 2));
        let back = strict.asked(Durability::Sync, 1);
        assert_eq!((back.durability, back.version), (Durability::Sync, sync.version + 2));
        let nobody = sync.asked(Durability::Async, 0);
        assert_eq!((nobody.durability, nobody.voters.len()), (Durability::Async, 0));
        let again = nobody.asked(Durability::Strict, 1);
        assert_eq!((again.durability, again.wanted), (Durability::Async, Durability::Strict));
        let leader = ServerName::new("p").unwrap();
        let fallen = sync.fallen_back(sync.term, leader, set(&[])).asked(Durability::Strict, 1);
        assert_eq!((fallen.durability, fallen.degraded), (Durability::Sync, true));
    }

    /// R6: whatever n voters acknowledged, every group that may elect has one of them.
    #[test]
    fn every_acknowledging_group_meets_every_electing_group() {
        for size in 1..=6_usize {
            for number in 1..=size {
                let quorum = size - number;
                let groups = |k: usize| (0_u32..1 << size).filter(move |m| m.count_ones() as usize == k);
                for acks in groups(number) {
                    // A candidate in V with q others, or one outside V with q + 1: q + 1 voters either way.
                    assert!(groups(quorum + 1).all(|voters| voters & acks != 0), "{size} {number}");
                }
            }
        }
    }
}
