//! Rules that can be switched off, one at a time, to see whether the simulation notices.

/// The rules, but for the one that a simulation breaks. Without the feature `mutants` none can be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    #[cfg(feature = "mutants")]
    broken: Option<Mutant>,
}

impl Rules {
    #[cfg(feature = "mutants")]
    pub(crate) const fn broken(broken: Option<Mutant>) -> Self {
        Self { broken }
    }

    /// Whether the rule that `mutant` names is the broken one.
    #[cfg(feature = "mutants")]
    pub(crate) fn broken_by(self, mutant: Mutant) -> bool {
        self.broken == Some(mutant)
    }

    /// It is not.
    #[cfg(not(feature = "mutants"))]
    #[allow(clippy::unused_self, reason = "with the feature it is used")]
    pub(crate) const fn broken_by(self, _: Mutant) -> bool {
        false
    }
}

/// A safety rule that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "mutants"), allow(dead_code, reason = "some are broken outside of this crate"))]
pub enum Mutant {
    /// L1: the holder counts its lease from the answer instead of from before the question.
    CountFromReceipt,
    /// L2: a waiter does not allow for clocks that run differently.
    NoDriftMargin,
    /// L3: a takeover does not have to name the last renewal.
    NoCompareAndSet,
    /// L4: nothing kills PostgreSQL when the agent hangs.
    NoGuard,
    /// R3: the lease is renewed although the guard does not take deadlines.
    RenewUnguarded,
    /// R4: a standby reports without stopping its receiver.
    NoFreeze,
    /// R2: a shorter lease is proposed without lowering the deadline first.
    ShortenWithoutLowering,
    /// R6: a takeover needs one report less than the quorum.
    QuorumTooSmall,
    /// R6: a new primary puts its own voters on record before they have passed the barrier or answer at all.
    SettleUnflushed,
    /// R10: a member says yes without storing its promise.
    FailsafeNotStored,
    /// R10: the holder counts from the last answer instead of from before the question.
    FailsafeFromAnswers,
    /// R10: a majority of the promotable members is enough.
    FailsafeMajority,
    /// R10: a member that has promised for the lease, and may have claimed it, says yes.
    FailsafeFrozenAgrees,
    /// R10: a member that the holder cannot know takes over.
    StrangerTakesOver,
    /// L5: a server promotes without looking at what is left of its lease.
    PromoteLate,
    /// R4: reports outlive the renewal that voids them.
    StaleReports,
    /// R11: the receiver of a hand-over does not have to have the end of the log.
    HandOverUnproven,
    /// R6: PostgreSQL waits for a set before elections count on it.
    PostgresFirst,
    /// R8: a promotion takes the number that PostgreSQL would take by itself.
    OwnTimeline,
}
