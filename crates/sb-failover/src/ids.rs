use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(u64);

        impl $type {
            /// From its number.
            #[must_use]
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The one that follows.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number! {
    /// The number of a primaryship. It only grows; 1 is the founder's.
    Term
}
number! {
    /// How often the lease was renewed in its term. `(term, seq)` names one state of the lease.
    Seq
}
number! {
    /// Which life of a server's store this is: a server that lost its log comes back under another one.
    Incarnation
}
number! {
    /// Which run of the agent this is. Every start of an agent must use a larger one than all its starts
    /// before, so that a renewal that an earlier run left in flight cannot count after one of this run.
    Session
}
number! {
    /// Names one proposal of one machine, for its answer.
    ProposalId
}
number! {
    /// Names one operation of one machine, for its end.
    OpId
}

number! {
    /// Names one question of another server to this one, for its answer. Given by the embedder.
    AskId
}
number! {
    /// Names one round of questions of a holder. Rises over its run.
    Round
}

/// Orders everything that one holder says about its lease: renewals and the release.
///
/// The record takes only a larger number than the last, so a message that was delayed or repeated cannot undo
/// a later one; and a holder that finds its own number in the record knows which of its proposals was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct RenewalNumber {
    /// The run of the agent that sent it.
    pub session: Session,
    /// Rises within the run.
    pub count: u64,
}

impl fmt::Display for RenewalNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.session, self.count)
    }
}
