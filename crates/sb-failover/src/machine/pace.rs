//! How long the own lease should be: as short as the policy says, longer while the store needs it.
//!
//! A longer lease delays a failover by as much, so it rises only for what was measured, and falls again. Each
//! renewal carries its own length and waiters go by that (L2), so a rise needs no care; a fall goes by R2.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::timings::ms;
use crate::trace::moment;
use crate::{BootTime, JournalEntry, Term, Timings};

use super::Machine;
use super::keeper::Counted;

/// A step is this part of the shortest lease.
const STEPS_PER_TTL: u64 = 4;
/// After how long without need the lease becomes one step shorter.
const QUIET_MS: u64 = 5 * 60 * 1_000;
/// What is allowed for beyond the longest stall seen, in percent of it.
const STALL_RESERVE_PERCENT: u64 = 25;
/// How many round trips must have been measured before they are judged.
const ROUND_TRIPS_MIN: u32 = 8;
/// A round trip counts as at most this many slow ones: what waited for the end of a stall says how long that was, and
/// nothing about the path. A path that has become slow is known after a few.
const OUTLIER_TIMES: u32 = 2;
/// A round trip up to this is no outlier, in milliseconds.
const OUTLIER_MS_MIN: u64 = 100;

/// Why a lease has the length it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PaceReason {
    /// The policy's shortest lease is long enough.
    #[default]
    Policy,
    /// A renewal takes this long, so the loss of the store's leader would outlast a shorter lease (relation A).
    RoundTrips {
        /// A slow one.
        milliseconds: u64,
    },
    /// Renewals were missing for this long.
    Stall {
        /// From the one before to the one after.
        milliseconds: u64,
    },
    /// Nothing has needed the length before for a while.
    Quiet,
}

impl fmt::Display for PaceReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PaceReason::Policy => write!(f, "the policy's shortest"),
            PaceReason::RoundTrips { milliseconds } => write!(f, "a renewal takes {milliseconds} ms"),
            PaceReason::Stall { milliseconds } => write!(f, "renewals were missing for {milliseconds} ms"),
            PaceReason::Quiet => write!(f, "nothing has needed a longer one for a while"),
        }
    }
}

/// What was measured of the own renewals, and what follows.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Pace {
    term: Term,
    /// How many steps above the shortest lease.
    steps: u64,
    why: PaceReason,
    /// When the lease was last found to need this length.
    #[serde(with = "moment")]
    needed_at: Option<BootTime>,
    round_trips: u32,
    /// Mean and mean deviation of the round trips, weighted as TCP does (RFC 6298).
    mean: Duration,
    deviation: Duration,
}

impl Pace {
    /// The length that a renewal sent now should have.
    fn ttl_ms(&self, timings: &Timings) -> u64 {
        let longer = timings.ttl_ms + self.steps * step_ms(timings);
        longer.min(timings.ttl_ms_max.max(timings.ttl_ms))
    }

    /// A renewal has counted; `stall` is how long renewals were missing.
    fn measure(&mut self, round_trip: Duration, stall: Option<Duration>, timings: &Timings, now: BootTime) {
        self.note_round_trip(round_trip);
        let slow = self.slow();
        let lead = ms(timings.fence_lead_ms);
        let judged = self.round_trips >= ROUND_TRIPS_MIN;
        let by_round_trips = if judged { relation_a(timings, slow) } else { Duration::ZERO };
        let stall = stall.unwrap_or_default();
        let by_stall = lead + stall + stall * u32::try_from(STALL_RESERVE_PERCENT).unwrap_or(0) / 100;
        let why = if by_stall >= by_round_trips {
            PaceReason::Stall { milliseconds: whole_ms(stall) }
        } else {
            PaceReason::RoundTrips { milliseconds: whole_ms(slow) }
        };
        self.follow(steps_for(whole_ms(by_stall.max(by_round_trips)), timings), why, now);
    }

    /// Rises at once, falls by one step after a quiet time.
    fn follow(&mut self, needed: u64, why: PaceReason, now: BootTime) {
        if needed > self.steps {
            self.steps = needed;
            self.why = why;
        }
        let needed_at = *self.needed_at.get_or_insert(now);
        if needed >= self.steps {
            self.needed_at = Some(now);
        } else if now >= needed_at + ms(QUIET_MS) {
            self.steps -= 1;
            self.why = if self.steps == 0 { PaceReason::Policy } else { PaceReason::Quiet };
            self.needed_at = Some(now);
        }
    }

    fn slow(&self) -> Duration {
        self.mean + 2 * self.deviation
    }

    fn note_round_trip(&mut self, round_trip: Duration) {
        if self.round_trips == 0 {
            (self.mean, self.deviation) = (round_trip, round_trip / 2);
        } else {
            let round_trip = round_trip.min((OUTLIER_TIMES * self.slow()).max(ms(OUTLIER_MS_MIN)));
            self.deviation = self.deviation * 3 / 4 + self.mean.abs_diff(round_trip) / 4;
            self.mean = self.mean * 7 / 8 + round_trip / 8;
        }
        self.round_trips = self.round_trips.saturating_add(1);
    }
}

/// The shortest lease that outlasts the loss of the store's leader: a renewal is due, the store elects, the renewal
/// is tried again, and takes a round trip to be lost in and one to count in.
fn relation_a(timings: &Timings, round_trip: Duration) -> Duration {
    ms(timings.fence_lead_ms + timings.renew_ms + timings.election_max_ms + timings.retry_ms) + 2 * round_trip
}

fn step_ms(timings: &Timings) -> u64 {
    (timings.ttl_ms / STEPS_PER_TTL).max(1)
}

fn steps_for(needed_ms: u64, timings: &Timings) -> u64 {
    let longest = timings.ttl_ms_max.saturating_sub(timings.ttl_ms).div_ceil(step_ms(timings));
    needed_ms.saturating_sub(timings.ttl_ms).div_ceil(step_ms(timings)).min(longest)
}

pub(super) fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Machine {
    /// How long the next renewal should hold.
    pub(super) fn ttl_ms(&self) -> u64 {
        self.pace.ttl_ms(self.timings())
    }

    /// The length of the own lease and why it has that, while this server measures one.
    pub(super) fn explain_pace(&self) -> (u64, PaceReason) {
        (self.ttl_ms(), self.pace.why)
    }

    /// A renewal has counted.
    pub(super) fn measure_renewal(&mut self, counted: Counted) {
        if self.pace.term != self.keeper.term {
            // Another lease is another path: begin with the policy's.
            self.pace = Pace { term: self.keeper.term, ..Pace::default() };
        }
        if self.was_bridged(counted.round_trip) {
            // Everybody's promise has bridged what this renewal took: no reason for a longer lease.
            return;
        }
        let timings = self.timings().clone();
        let before_ms = self.pace.ttl_ms(&timings);
        self.pace.measure(counted.round_trip, counted.since_last, &timings, self.now);
        let ttl_ms = self.pace.ttl_ms(&timings);
        if ttl_ms != before_ms {
            let why = self.pace.why;
            self.journal(JournalEntry::LeaseLength { before_ms, ttl_ms, why });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> BootTime {
        BootTime::since_boot(ms(milliseconds))
    }

    fn quiet(pace: &mut Pace, timings: &Timings, from_ms: u64, to_ms: u64) {
        for now in (from_ms..to_ms).step_by(500) {
            pace.measure(ms(90), Some(ms(590)), timings, at(now));
        }
    }

    #[test]
    fn ordinary_renewals_leave_the_lease_as_the_policy_has_it() {
        let (mut pace, timings) = (Pace::default(), Timings::default());
        for now in 0..2_000 {
            pace.measure(ms(60 + now % 7 * 40), Some(ms(560 + now % 7 * 40)), &timings, at(now * 500));
        }
        assert_eq!(pace.ttl_ms(&timings), timings.ttl_ms);
    }

    #[test]
    fn a_stall_that_almost_cost_the_lease_lengthens_it_at_once() {
        let (mut pace, timings) = (Pace::default(), Timings::default());
        pace.measure(ms(90), Some(ms(2_900)), &timings, at(0));
        assert_eq!(pace.ttl_ms(&timings), 4_375);
    }

    #[test]
    fn a_renewal_that_waited_for_the_end_of_a_stall_is_no_slow_path() {
        let (mut pace, timings) = (Pace::default(), Timings::default());
        quiet(&mut pace, &timings, 0, 10_000);
        pace.measure(ms(2_400), Some(ms(2_900)), &timings, at(10_000));
        assert_eq!(pace.ttl_ms(&timings), 4_375);
        assert_eq!(pace.why, PaceReason::Stall { milliseconds: 2_900 });
        for now in 0..12 {
            pace.measure(ms(1_500), Some(ms(2_000)), &timings, at(11_000 + now * 2_000));
        }
        assert!(pace.ttl_ms(&timings) >= 500 + 500 + 1_200 + 500 + 2 * 1_500, "a slow path is one: {pace:?}");
    }

    #[test]
    fn slow_round_trips_lengthen_it_so_that_an_election_fits() {
        let (mut pace, timings) = (Pace::default(), Timings::default());
        for now in 0..20 {
            pace.measure(ms(700), Some(ms(1_200)), &timings, at(now * 500));
        }
        assert!(pace.ttl_ms(&timings) >= 500 + 500 + 1_200 + 500 + 2 * 700, "{pace:?}");
    }

    #[test]
    fn it_shortens_by_one_step_after_a_quiet_time() {
        let (mut pace, timings) = (Pace::default(), Timings::default());
        pace.measure(ms(90), Some(ms(4_000)), &timings, at(0));
        assert_eq!(pace.ttl_ms(&timings), 5_250 + 875);
        quiet(&mut pace, &timings, 500, QUIET_MS);
        assert_eq!(pace.ttl_ms(&timings), 6_125);
        quiet(&mut pace, &timings, QUIET_MS, QUIET_MS + 1_000);
        assert_eq!(pace.ttl_ms(&timings), 5_250);
    }

    #[test]
    fn it_never_passes_the_longest_of_the_policy() {
        let (mut pace, timings) = (Pace::default(), Timings::default());
        pace.measure(ms(90), Some(ms(60_000)), &timings, at(0));
        assert_eq!(pace.ttl_ms(&timings), timings.ttl_ms_max);
    }
}
