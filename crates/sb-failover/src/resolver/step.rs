use std::collections::BTreeSet;
use std::fmt;

use super::Unsound;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<N> {
    /// Nothing, and why.
    Rest(Rest),
    /// Let commits wait for any `number` of `names`.
    Postgres {
        /// k; 0 for nobody.
        number: usize,
        /// S.
        names: BTreeSet<N>,
        /// Why.
        why: Why,
    },
    /// Change the record.
    Record {
        /// How.
        change: Change<N>,
        /// Why.
        why: Why,
    },
}

/// A change of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<N> {
    /// Only the version rises: whatever was proposed before can no longer be applied.
    Void,
    /// V is empty and commits wait for nobody: no automatic failover.
    FallBack,
    /// The set that is effective becomes V, in the own term, with the quorum that n asks for.
    Form {
        /// V.
        voters: BTreeSet<N>,
    },
    /// One voter more or less, or another quorum.
    Set {
        /// V.
        voters: BTreeSet<N>,
        /// q.
        quorum: usize,
    },
}

/// Why a step is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A set is made where there is none.
    Forms,
    /// A standby comes in.
    Joins,
    /// A standby goes out.
    Leaves,
    /// n is larger than what is waited for.
    Rises,
    /// n is smaller than what is waited for.
    Falls,
    /// A change that may still be applied must not meet what comes next.
    Voids,
    /// Too few answered for too long.
    FallsBack,
    /// Commits shall wait for nobody.
    Relaxes,
    /// It is not known what PostgreSQL waits for.
    Establishes,
    /// The sets do not fit each other.
    Repairs(Unsound),
}

/// Why nothing is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// The sets agree and are what they shall be.
    Settled,
    /// No commit waits, and none shall.
    Asynchronous,
    /// Too few standbys answer or are ready.
    TooFew {
        /// How many.
        have: usize,
        /// How many it takes.
        need: usize,
    },
    /// A new setting is loaded, and does not count yet.
    Barrier {
        /// Members that have not passed the barrier.
        behind: usize,
        /// How many of them may be behind.
        allowed: usize,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Forms => f.write_str("the synchronous set forms"),
            Why::Joins => f.write_str("a standby joins the synchronous set"),
            Why::Leaves => f.write_str("a standby leaves the synchronous set"),
            Why::Rises => f.write_str("commits shall wait for more standbys"),
            Why::Falls => f.write_str("commits shall wait for fewer standbys"),
            Why::Voids => f.write_str("a change that may still come is made void first"),
            Why::FallsBack => f.write_str("too few standbys have answered for too long"),
            Why::Relaxes => f.write_str("commits shall wait for nobody"),
            Why::Establishes => f.write_str("it is not certain what PostgreSQL waits for"),
            Why::Repairs(unsound) => write!(f, "{unsound}"),
        }
    }
}

impl fmt::Display for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rest::Settled => f.write_str("the synchronous set is what it shall be"),
            Rest::Asynchronous => f.write_str("commits wait for nobody, as asked for"),
            Rest::TooFew { have, need } => write!(f, "{have} of {need} standbys are there"),
            Rest::Barrier { behind, allowed } => {
                write!(
                    f,
                    "{behind} members have yet to flush what was there at the change, {allowed} may lack it"
                )
            }
        }
    }
}
