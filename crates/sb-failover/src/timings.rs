use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::BootTime;
use crate::record::TTL_MS_MAX;

/// Every time that failover depends on, in milliseconds. In force is what the record holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// How long a renewal holds. Carried by each renewal, so waiters use that of the entry they saw.
    pub ttl_ms: u64,
    /// How often the holder renews.
    pub renew_ms: u64,
    /// How long before the lease ends the guard kills PostgreSQL (F in rule L4): at least the worst time that
    /// the kill takes.
    pub fence_lead_ms: u64,
    /// What a waiter adds to its wait.
    pub margin_ms: u64,
    /// How far a clock may run too fast or too slow, in parts per million.
    pub drift_ppm: u64,
    /// How long before it may take over a standby freezes, so that reports are there in time.
    pub freeze_lead_ms: u64,
    /// How long a candidate collects the reports of others, from its own on; also beyond the end of the lease.
    pub collect_ms: u64,
    /// How much later each next rank of an election steps in.
    pub rank_step_ms: u64,
    /// What must be left of the lease before a promotion begins.
    pub promote_budget_ms: u64,
    /// A promotion that takes longer has failed.
    pub promote_limit_ms: u64,
    /// How long a crashed PostgreSQL may take to come back before the lease is given up.
    pub restart_budget_ms: u64,
    /// How long a planned stop of PostgreSQL may take.
    pub stop_limit_ms: u64,
    /// How long the receiver of a planned hand-over goes first.
    pub transfer_wait_ms: u64,
    /// How long a candidate may fetch from a server that has more.
    pub fetch_limit_ms: u64,
    /// How long to wait before an operation or a proposal that failed is tried again.
    pub retry_ms: u64,
    /// After how long without streaming a standby leaves the synchronous set.
    pub shrink_after_ms: u64,
    /// For how long too few of the synchronous set may not answer before `sync` falls back.
    pub fallback_after_ms: u64,
    /// Whether a holder may go on without the store (R10).
    pub failsafe: Failsafe,
    /// The longest lease that the holder may choose by itself when the store is slow; `ttl_ms` is the shortest.
    pub ttl_ms_max: u64,
    /// How long the store may take to notice that its leader is gone, at most. Without a leader nothing is renewed.
    pub election_max_ms: u64,
}

/// What a holder does whose renewals do not get through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failsafe {
    /// It ends with its lease.
    #[default]
    Off,
    /// It goes on while every promotable member promises not to take over.
    On,
}

impl Default for Timings {
    /// For sites up to 80 ms apart.
    fn default() -> Self {
        Self {
            ttl_ms: 3_500,
            renew_ms: 500,
            fence_lead_ms: 500,
            margin_ms: 50,
            drift_ppm: 1_000,
            freeze_lead_ms: 1_000,
            collect_ms: 500,
            rank_step_ms: 400,
            promote_budget_ms: 1_000,
            promote_limit_ms: 15_000,
            restart_budget_ms: 5_000,
            stop_limit_ms: 10_000,
            transfer_wait_ms: 5_000,
            fetch_limit_ms: 3_000,
            retry_ms: 500,
            shrink_after_ms: 10_000,
            failsafe: Failsafe::Off,
            ttl_ms_max: 10_500,
            election_max_ms: 1_200,
            fallback_after_ms: 10_000,
        }
    }
}

/// The times contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimingsError {
    /// A renewal must be able to fail once and come again before the guard acts.
    #[error("two renewals of {renew_ms} ms do not fit into the {usable_ms} ms between grant and fence")]
    RenewTooSlow {
        /// The renew interval.
        renew_ms: u64,
        /// ttl − fence lead.
        usable_ms: u64,
    },
    /// A promotion could never begin.
    #[error(
        "a promotion budget of {promote_budget_ms} ms does not fit into the {usable_ms} ms between grant and fence"
    )]
    PromotionTooSlow {
        /// The promotion budget.
        promote_budget_ms: u64,
        /// ttl − fence lead.
        usable_ms: u64,
    },
    /// A clock cannot drift that much.
    #[error("a drift of {drift_ppm} ppm is not below 100,000")]
    DriftTooLarge {
        /// The drift.
        drift_ppm: u64,
    },
    /// The longest lease is shorter than the shortest, or longer than a record takes.
    #[error("a longest lease of {ttl_ms_max} ms is not between {ttl_ms} ms and {limit_ms} ms")]
    LongestLease {
        /// The longest lease.
        ttl_ms_max: u64,
        /// The shortest.
        ttl_ms: u64,
        /// What a record takes.
        limit_ms: u64,
    },
    /// A time that must not be zero is.
    #[error("`{name}` is zero")]
    Zero {
        /// The field.
        name: &'static str,
    },
}

impl Timings {
    /// Checks the relations that the rules need.
    ///
    /// # Errors
    /// The first relation that does not hold.
    pub fn check(&self) -> Result<(), TimingsError> {
        for (name, value) in
            [("ttl_ms", self.ttl_ms), ("renew_ms", self.renew_ms), ("retry_ms", self.retry_ms)]
        {
            if value == 0 {
                return Err(TimingsError::Zero { name });
            }
        }
        if self.drift_ppm >= 100_000 {
            return Err(TimingsError::DriftTooLarge { drift_ppm: self.drift_ppm });
        }
        let usable_ms = self.ttl_ms.saturating_sub(self.fence_lead_ms);
        if 2 * self.renew_ms >= usable_ms {
            return Err(TimingsError::RenewTooSlow { renew_ms: self.renew_ms, usable_ms });
        }
        let promote_budget_ms = self.promote_budget_ms;
        if promote_budget_ms >= usable_ms {
            return Err(TimingsError::PromotionTooSlow { promote_budget_ms, usable_ms });
        }
        let (ttl_ms, ttl_ms_max, limit_ms) = (self.ttl_ms, self.ttl_ms_max, TTL_MS_MAX);
        if ttl_ms_max < ttl_ms || ttl_ms_max > limit_ms {
            return Err(TimingsError::LongestLease { ttl_ms_max, ttl_ms, limit_ms });
        }
        Ok(())
    }

    /// How old the newest renewal that counted may be before the holder asks the others (R10): two renewals are
    /// missing, and there is time for answers before the first standby freezes, since from then on it says no.
    #[must_use]
    pub fn failsafe_after(&self, ttl_ms: u64) -> Duration {
        let freezes = self.wait(ttl_ms).saturating_sub(ms(self.freeze_lead_ms));
        ms(self.renew_ms * 22 / 10).min(freezes / 2)
    }

    /// How long a waiter waits after it saw a renewal of `ttl_ms` applied (L2):
    /// `ttl · (1 + ρ) / (1 − ρ) + margin`, rounded up.
    #[must_use]
    pub fn wait(&self, ttl_ms: u64) -> Duration {
        let million = 1_000_000_u64;
        let slow = million.saturating_sub(self.drift_ppm).max(1);
        let ns = (ttl_ms.saturating_mul(million)).saturating_mul(million + self.drift_ppm).div_ceil(slow);
        Duration::from_nanos(ns) + ms(self.margin_ms)
    }

    /// How long whoever a person names waits for reports before it takes a loss for what nobody who answers has.
    #[must_use]
    pub fn patience_with_reports(&self) -> Duration {
        let held_back = match self.failsafe {
            Failsafe::Off => Duration::ZERO,
            Failsafe::On => self.wait(self.ttl_ms.max(self.ttl_ms_max)),
        };
        ms(self.transfer_wait_ms) + held_back
    }

    /// When a waiter that saw a renewal of `ttl_ms` at `seen` freezes.
    #[must_use]
    pub fn suspect_at(&self, seen: BootTime, ttl_ms: u64) -> BootTime {
        let early = seen + self.wait(ttl_ms).saturating_sub(ms(self.freeze_lead_ms));
        let not_before = seen + ms(self.renew_ms * 22 / 10);
        early.max(not_before)
    }
}

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_keep_their_relations() {
        assert_eq!(Timings::default().check(), Ok(()));
    }

    #[test]
    fn the_wait_covers_a_slow_holder_and_a_fast_waiter() {
        let wait = Timings::default().wait(3_500);
        assert!(wait > Duration::from_micros(3_557_000), "{wait:?}");
        assert!(wait < Duration::from_micros(3_557_100), "{wait:?}");
    }

    #[test]
    fn a_fence_lead_that_eats_the_lease_is_refused() {
        let timings = Timings { fence_lead_ms: 2_600, ..Timings::default() };
        assert!(matches!(timings.check(), Err(TimingsError::RenewTooSlow { .. })));
    }

    #[test]
    fn a_longest_lease_below_the_shortest_is_refused() {
        let timings = Timings { ttl_ms_max: 3_000, ..Timings::default() };
        assert!(matches!(timings.check(), Err(TimingsError::LongestLease { .. })));
    }

    #[test]
    fn the_others_are_asked_before_the_first_of_them_freezes() {
        let timings = Timings::default();
        let freezes = timings.suspect_at(BootTime::default(), timings.ttl_ms).since(BootTime::default());
        assert!(2 * timings.failsafe_after(timings.ttl_ms) <= freezes);
    }
}
