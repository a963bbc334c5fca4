use sb_failover::mutant::Mutant;
use sb_failover::record::Durability;
use sb_failover::{Failsafe, Timings};

use crate::rng::Rng;

/// Nanoseconds in a millisecond.
pub const MS: u64 = 1_000_000;

/// How long things take, and what the cluster promises.
#[derive(Clone, Debug)]
pub struct Profile {
    pub name: &'static str,
    pub durability: Durability,
    pub timings: Timings,
    /// Clocks run up to this much too fast or too slow.
    pub clock_ppm: i64,
    /// One way between two servers.
    pub delay_ms: (u64, u64),
    pub kill_ms: (u64, u64),
    pub promote_ms: (u64, u64),
    pub start_ms: (u64, u64),
    /// Of 100 operations on PostgreSQL, how many fail.
    pub failing_operations: u64,
    /// How long faults come, and how long the cluster then has to be whole again.
    pub faults_ms: u64,
    pub calm_ms: u64,
    /// A fault comes after this long.
    pub fault_every_ms: (u64, u64),
    pub mutant: Option<Mutant>,
    /// Whether the holder may go on without the store, and the store is away more often.
    pub failsafe: bool,
}

impl Profile {
    /// Like the real sites.
    pub fn real(durability: Durability) -> Self {
        Self {
            name: "real",
            durability,
            timings: Timings {
                shrink_after_ms: 3_000,
                fallback_after_ms: 4_000,
                promote_limit_ms: 5_000,
                ..Timings::default()
            },
            clock_ppm: 1_000,
            delay_ms: (1, 40),
            kill_ms: (5, 400),
            promote_ms: (50, 600),
            start_ms: (50, 800),
            failing_operations: 4,
            faults_ms: 30_000,
            calm_ms: 30_000,
            fault_every_ms: (300, 6_000),
            mutant: None,
            failsafe: false,
        }
    }

    /// Nothing hides a mistake: no fence lead, no time to promote, hardly a delay, clocks at their limits.
    pub fn adversarial(durability: Durability) -> Self {
        let timings = Timings {
            fence_lead_ms: 0,
            margin_ms: 1,
            drift_ppm: 10_000,
            promote_budget_ms: 0,
            collect_ms: 0,
            rank_step_ms: 1,
            promote_limit_ms: 5_000,
            shrink_after_ms: 3_000,
            fallback_after_ms: 4_000,
            ..Timings::default()
        };
        Self {
            name: "adversarial",
            timings,
            clock_ppm: 10_000,
            delay_ms: (0, 2),
            kill_ms: (0, 1),
            promote_ms: (0, 1),
            start_ms: (0, 5),
            fault_every_ms: (300, 4_000),
            ..Self::real(durability)
        }
    }

    /// With the failsafe on.
    pub fn failsafe(mut self) -> Self {
        self.timings.failsafe = Failsafe::On;
        self.failsafe = true;
        self
    }

    pub fn with(mut self, mutant: Mutant) -> Self {
        self.mutant = Some(mutant);
        self
    }

    pub fn ns(rng: &mut Rng, (low, high): (u64, u64)) -> u64 {
        rng.range(low * MS, high * MS + 1)
    }
}
