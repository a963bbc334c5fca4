use std::collections::BTreeSet;

use crate::record::Durability;

/// What the record says.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a, N> {
    /// What a commit promises now.
    pub durability: Durability,
    /// What a person asked for.
    pub wanted: Durability,
    /// n, as asked for.
    pub number: usize,
    /// Whose V this is (Ls).
    pub owner: Owner,
    /// V.
    pub voters: &'a BTreeSet<N>,
    /// q.
    pub quorum: usize,
    /// Fallen back, or never formed.
    pub degraded: bool,
}

/// Who put the voters on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This primary, in this term (Ls = La).
    Me,
    /// A primary of an earlier term: nothing is confirmed to clients before that is changed.
    Former,
}

/// What PostgreSQL is known to wait for: `ANY number (names)`; nobody when there are no names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce<N> {
    /// k.
    pub number: usize,
    /// S.
    pub names: BTreeSet<N>,
}

/// Whether a change of the record that was proposed may still be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// One that starts from the record as it is.
    Possible,
    /// None: the version has moved since the last one.
    Impossible,
}

/// Whether too few have answered for as long as `sync` waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Not yet, or they answer.
    Lasts,
    /// Yes.
    Over,
}

/// The standbys.
#[derive(Clone, Copy, Debug)]
pub struct Standbys<'a, N> {
    /// Those that shall make up the set ([`super::members`]). Never the primary.
    pub wanted: &'a BTreeSet<N>,
    /// Those that may join: they stream, and have passed the end of the log noted when they began to.
    pub ready: &'a BTreeSet<N>,
    /// Those that are likely to stream soon, while nobody does: a guess.
    pub expected: &'a BTreeSet<N>,
    /// Those that have flushed lately.
    pub answering: &'a BTreeSet<N>,
    /// Those that have not flushed for so long that they shall leave.
    pub gone: &'a BTreeSet<N>,
    /// Those that have flushed the barrier: the end of the log, taken after PostgreSQL's present setting was loaded
    /// everywhere. Nobody while that is not known.
    pub past_barrier: &'a BTreeSet<N>,
}

/// All that a step depends on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a, N> {
    /// The actual primary (La).
    pub me: &'a N,
    /// The record.
    pub record: Recorded<'a, N>,
    /// PostgreSQL's setting; [`None`] when a change of it may be in force in part.
    pub postgres: Option<&'a InForce<N>>,
    /// About changes of the record under way.
    pub late: Late,
    /// About waiting.
    pub patience: Patience,
    /// Who there is.
    pub standbys: Standbys<'a, N>,
}

/// How a pair of sets breaks the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    /// Commits do not wait although the record says so.
    #[error("commits wait for nobody, and the record says they do")]
    NobodyWaited,
    /// k of S is not possible.
    #[error("commits wait for {number} of {names} standbys")]
    TooFewNames {
        /// k.
        number: usize,
        /// |S|.
        names: usize,
    },
    /// S names servers that have no vote.
    #[error("commits may be confirmed by a standby that has no vote")]
    OutsideVoters,
    /// The primary confirms to itself.
    #[error("the primary is one of its own standbys")]
    PrimaryInside,
    /// Too small a quorum for that few acknowledgements.
    #[error("{number} confirmations and a quorum of {quorum} may miss each other among {all} servers")]
    MayMiss {
        /// k.
        number: usize,
        /// q.
        quorum: usize,
        /// |V ∪ S|.
        all: usize,
    },
}

impl<N: Ord + Clone> Situation<'_, N> {
    /// n, at least one.
    pub(super) fn promised(&self) -> usize {
        self.record.number.max(1)
    }

    /// V without the primary.
    pub(super) fn voters(&self) -> BTreeSet<N> {
        self.record.voters.iter().filter(|v| *v != self.me).cloned().collect()
    }

    /// Whether no standby has a vote: then nobody can be elected, as after a fall back.
    pub(super) fn nobody_votes(&self) -> bool {
        self.record.voters.iter().all(|v| v == self.me)
    }

    /// How many confirmations the record counts on: every electing group meets that many.
    pub(super) fn counted_on(&self) -> usize {
        self.record.voters.len().saturating_sub(self.record.quorum)
    }

    /// Standbys that shall be in the set and may join it.
    pub(super) fn ready(&self) -> BTreeSet<N> {
        let fits = self.standbys.wanted.intersection(self.standbys.ready);
        fits.filter(|s| *s != self.me).cloned().collect()
    }

    pub(super) fn answering(&self, names: &BTreeSet<N>) -> usize {
        names.intersection(self.standbys.answering).count()
    }

    /// How many of `names` are not known to have passed the barrier.
    pub(super) fn behind(&self, names: &BTreeSet<N>) -> usize {
        names.difference(self.standbys.past_barrier).count()
    }

    /// Whether `server` shall leave a set.
    pub(super) fn shall_leave(&self, server: &N) -> bool {
        server == self.me || self.standbys.gone.contains(server) || !self.standbys.wanted.contains(server)
    }

    /// What is wrong with `set` for the record as it is.
    ///
    /// # Errors
    /// How the pair breaks the rule.
    pub fn check(&self, set: &InForce<N>) -> Result<(), Unsound> {
        let InForce { number, names } = set;
        let (number, quorum) = (*number, self.record.quorum);
        if names.is_empty() || number == 0 {
            return Err(Unsound::NobodyWaited);
        }
        if number > names.len() {
            return Err(Unsound::TooFewNames { number, names: names.len() });
        }
        if names.contains(self.me) {
            return Err(Unsound::PrimaryInside);
        }
        if !names.is_subset(self.record.voters) {
            return Err(Unsound::OutsideVoters);
        }
        let all = self.record.voters.union(names).count();
        if all > quorum + number { Err(Unsound::MayMiss { number, quorum, all }) } else { Ok(()) }
    }

    /// Whether waiting for any `number` of `names` may confirm what PostgreSQL would not confirm now.
    pub(super) fn loosens(&self, number: usize, names: &BTreeSet<N>) -> bool {
        let Some(now) = self.postgres else {
            return true;
        };
        let waits = !now.names.is_empty();
        let tightened = !names.is_empty() && names.is_subset(&now.names) && number >= now.number;
        waits && !tightened
    }
}
