use std::collections::BTreeSet;

use sb_topology::ServerName;
use serde::{Deserialize, Serialize};

use super::{ClusterRecord, Outcome, Rejection};
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
/// least `number` of `voters`, and `quorum + 1 = |voters| − number + 1`. It keeps to the last term that
/// *settled*: a new primary lets no client in before enough of its own standbys have all of its log and it has
/// put its own set here, so until then the promises are those of the term before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRecord {
    /// The cluster's promise.
    pub durability: Durability,
    /// n: how many other servers a commit waits for.
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
}

impl SyncRecord {
    /// The set of a cluster that begins: nobody to wait for yet.
    #[must_use]
    pub fn founding(durability: Durability, number: usize, leader: ServerName, term: Term) -> Self {
        let degraded = durability.is_synchronous();
        Self { durability, number, term, leader: Some(leader), voters: BTreeSet::new(), quorum: 0, degraded }
    }

    /// This promise, kept by `voters` in `term` of `leader`.
    #[must_use]
    pub fn settled(&self, term: Term, leader: ServerName, voters: BTreeSet<ServerName>) -> Self {
        let quorum = voters.len().saturating_sub(self.number);
        let (durability, number) = (self.durability, self.number);
        Self { durability, number, term, leader: Some(leader), voters, quorum, degraded: false }
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
    pub(super) fn set_sync(
        &mut self,
        claim: (&ServerName, Incarnation, Term),
        expect: &SyncRecord,
        sync: &SyncRecord,
    ) -> Outcome {
        self.held_by(claim)?;
        let (holder, _, term) = claim;
        let named = sync.term == term && sync.leader.as_ref() == Some(holder);
        if self.sync != *expect || !named || !allowed_step(expect, sync) {
            return Err(Rejection::SyncStep);
        }
        let eligible = |s: &ServerName| *s != *holder && self.members.get(s).is_some_and(|m| m.sync_eligible);
        if !sync.voters.iter().all(eligible) {
            return Err(Rejection::SyncStep);
        }
        self.sync = sync.clone();
        Ok(())
    }
}

/// One step at a time: a new primary settles its own set, a degraded set forms, or one voter joins or leaves.
fn allowed_step(from: &SyncRecord, to: &SyncRecord) -> bool {
    let same_promise = from.durability == to.durability && from.number == to.number;
    if !same_promise || !to.durability.is_synchronous() {
        return false;
    }
    if to.degraded {
        // A primary that took over a degraded set goes on with it; falling back needs more proof than this.
        return from.degraded && to.voters.is_empty() && to.quorum == 0;
    }
    let formed = to.voters.len() >= to.number && to.quorum == to.voters.len() - to.number;
    let free = from.degraded || from.term < to.term;
    formed && (free || from.voters.symmetric_difference(&to.voters).count() <= 1)
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
        assert!(allowed_step(&settled(&["a"]), &settled(&["a", "b"])));
        assert!(allowed_step(&settled(&["a", "b"]), &settled(&["b"])));
        assert!(!allowed_step(&settled(&["a"]), &settled(&["a", "b", "c"])));
        assert!(!allowed_step(&settled(&["a"]), &settled(&["b"])));
    }

    #[test]
    fn a_quorum_that_could_miss_an_acknowledgement_is_refused() {
        let mut small = settled(&["a", "b"]);
        small.quorum = 0;
        assert!(!allowed_step(&settled(&["a"]), &small));
        assert!(!allowed_step(&settled(&["a"]), &settled(&[])));
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
