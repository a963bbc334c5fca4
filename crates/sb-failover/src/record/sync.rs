use std::collections::BTreeSet;

use sb_topology::ServerName;
use serde::{Deserialize, Serialize};

use crate::Term;

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

    /// Whether commits made in `term` are covered by this record.
    #[must_use]
    pub fn covers(&self, term: Term) -> bool {
        !self.durability.is_synchronous() || self.term == term
    }
}
