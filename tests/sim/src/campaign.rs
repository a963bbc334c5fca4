//! Many schedules, on several threads.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sb_failover::{State, Trigger};

use crate::{Profile, Tally, Violation, Words, run};

/// Which schedules to run.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// The first seed.
    pub from: u64,
    /// How many follow from it.
    pub schedules: u64,
    /// How many run at a time.
    pub threads: usize,
    /// On which profile; [`None`] = each on the one that its seed falls on.
    pub profile: Option<Profile>,
}

/// A schedule in which a rule was broken.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The schedule.
    pub seed: u64,
    /// On which profile.
    pub profile: &'static str,
    /// The rule.
    pub violation: Violation,
}

/// What came of a campaign.
#[derive(Debug, Default)]
pub struct Report {
    /// What happened how often, over all schedules.
    pub tally: Tally,
    /// The changes of state that the machines went through.
    pub moves: BTreeSet<(State, Trigger)>,
    /// By seed.
    pub failures: Vec<Failure>,
}

impl Campaign {
    /// Runs every schedule. The result does not depend on how many run at a time.
    #[must_use]
    pub fn run(&self) -> Report {
        let next = AtomicU64::new(0);
        let report = Mutex::new(Report::default());
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    let own = self.take_turns(&next);
                    let mut report = report.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    report.tally.merge(&own.tally);
                    report.moves.extend(own.moves);
                    report.failures.extend(own.failures);
                });
            }
        });
        let mut report = report.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        report.failures.sort_by_key(|f| f.seed);
        report
    }

    fn take_turns(&self, next: &AtomicU64) -> Report {
        let mut report = Report::default();
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            if turn >= self.schedules {
                return report;
            }
            let seed = self.from.wrapping_add(turn);
            let profile = self.profile.clone().unwrap_or_else(|| Profile::of_seed(seed));
            let outcome = run(seed, &profile, Words::No);
            report.tally.merge(&outcome.tally);
            report.moves.extend(outcome.moves);
            if let Some(violation) = outcome.violation {
                report.failures.push(Failure { seed, profile: profile.name, violation });
            }
        }
    }
}
