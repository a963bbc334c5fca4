//! Rules that are broken on purpose, one at a time: a simulation that does not notice proves nothing about the rule.

use sb_failover::mutant::Mutant;

use crate::{Profile, Words, run};

/// A broken rule, and how soon it must be noticed.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// As `--mutant` knows it.
    pub name: &'static str,
    /// The rule that it breaks.
    pub rule: &'static str,
    /// What is changed.
    pub mutant: Mutant,
    /// On which profile it is looked for.
    pub profile: &'static str,
    /// Within how many schedules it has to be caught.
    pub schedules_max: u64,
    /// By one of these invariants.
    pub by: &'static [&'static str],
}

const TWO_PRIMARIES: &[&str] = &["one_writer", "fenced_before_promote"];
const LOST: &[&str] = &["no_lost_acknowledged_commit", "takeover_has_everything"];

const fn case(
    name: &'static str,
    rule: &'static str,
    mutant: Mutant,
    profile: &'static str,
    schedules_max: u64,
    by: &'static [&'static str],
) -> Case {
    Case { name, rule, mutant, profile, schedules_max, by }
}

const FAILSAFE: &[&str] = &["one_writer", "fenced_before_promote", "failsafe_promise_is_kept"];
const ASYNC: &str = "adversarial-async";
const SYNC: &str = "adversarial-sync";
const HOLDS_ON: &str = "adversarial-failsafe-async";

/// Every one that is caught.
pub const MUTANTS: &[Case] = &[
    case("count-from-receipt", "L1", Mutant::CountFromReceipt, ASYNC, 100, TWO_PRIMARIES),
    case("no-drift-margin", "L2", Mutant::NoDriftMargin, ASYNC, 50, TWO_PRIMARIES),
    case("no-compare-and-set", "L3", Mutant::NoCompareAndSet, ASYNC, 400, TWO_PRIMARIES),
    case("no-guard", "L4", Mutant::NoGuard, ASYNC, 50, TWO_PRIMARIES),
    case("promote-late", "L5", Mutant::PromoteLate, ASYNC, 200, TWO_PRIMARIES),
    case("shorten-without-lowering", "R2", Mutant::ShortenWithoutLowering, ASYNC, 200, TWO_PRIMARIES),
    case("no-freeze", "R4", Mutant::NoFreeze, SYNC, 100, &["promises_are_kept"]),
    case("stale-reports", "R4", Mutant::StaleReports, SYNC, 20, &["promises_are_kept"]),
    case("hand-over-unproven", "R11", Mutant::HandOverUnproven, ASYNC, 100, &["takeover_has_everything"]),
    case("quorum-too-small", "R6", Mutant::QuorumTooSmall, SYNC, 100, LOST),
    case("postgres-first", "R6", Mutant::PostgresFirst, SYNC, 5, &["quorum_intersects"]),
    case("own-timeline", "R8", Mutant::OwnTimeline, "sites-async", 400, &["lineage_never_forks_silently"]),
    case("failsafe-from-answers", "R10", Mutant::FailsafeFromAnswers, HOLDS_ON, 400, TWO_PRIMARIES),
    case("failsafe-majority", "R10", Mutant::FailsafeMajority, HOLDS_ON, 100, TWO_PRIMARIES),
    case("failsafe-frozen-agrees", "R10", Mutant::FailsafeFrozenAgrees, HOLDS_ON, 50, FAILSAFE),
];

/// Those that these schedules have not caught yet; other tests do (docs/open-points.md).
pub const NOT_CAUGHT: &[Case] = &[
    case("renew-unguarded", "R3", Mutant::RenewUnguarded, ASYNC, 0, &["guard_is_armed"]),
    case("settle-unflushed", "R6", Mutant::SettleUnflushed, SYNC, 0, LOST),
    case("failsafe-not-stored", "R10", Mutant::FailsafeNotStored, HOLDS_ON, 0, FAILSAFE),
];

/// The seed from which mutants are looked for.
pub const MUTANTS_FROM: u64 = 1_000_000;

impl Case {
    /// How many schedules it takes until the mutant is caught, and by which invariant; [`None`] when it is not.
    #[must_use]
    pub fn caught(&self) -> Option<(u64, &'static str)> {
        let profile = Profile::named(self.profile)?.with(self.mutant);
        (0..self.schedules_max).find_map(|n| {
            let violation = run(MUTANTS_FROM + n, &profile, Words::No).violation?;
            self.by.contains(&violation.invariant).then_some((n + 1, violation.invariant))
        })
    }
}
