//! The numbers of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::check::{Losses, Verdict};
use super::nemesis::{Kind, Scope};
use crate::place::Place;

/// How long writes may stay away after a fault of one host, in seconds.
const BACK_SECONDS_MAX: f64 = 5.0;

/// One fault that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Happened {
    /// What.
    pub kind: Kind,
    /// To whom.
    pub victim: Place,
    /// Whether that was primary then.
    pub primary: &'static str,
    /// When it began, in seconds since the run did.
    pub at_seconds: f64,
    /// How long it lasted, in seconds.
    pub lasted_seconds: f64,
    /// Length of the primary's lease then, in milliseconds; nothing where its journal names none: the policy's.
    pub lease_ms: Option<u64>,
    /// Longest silence between two acknowledgements from its beginning until the next fault or storm, in seconds.
    pub gap_seconds: f64,
}

/// All faults of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OfAKind {
    /// How many.
    pub count: usize,
    /// Without writes, in seconds.
    pub gap_median_seconds: f64,
    /// Without writes, in seconds.
    pub gap_max_seconds: f64,
    /// Whether writes were always back in five seconds; nothing where that is not asked for.
    pub within_5_seconds: Option<bool>,
}

/// Everything that a run has shown. The fields are a contract with whoever reads the file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SoakReport {
    /// Where the faults and the clients' questions come from.
    pub seed: u64,
    /// How long faults went on.
    pub minutes: f64,
    /// Seconds from one fault, or one storm of them, to the next, at least.
    pub every_seconds: u64,
    /// Whether the programs were built with optimisations: `release` or `debug`.
    pub build: &'static str,
    /// What a commit waits for.
    pub durability: &'static str,
    /// Whether faults came several at a time.
    pub overlapping: bool,
    /// Load of the machine at the end, over one minute.
    pub load: f64,
    /// Operations of every kind.
    pub operations: usize,
    /// Acknowledged writes of every kind.
    pub acknowledged_writes: usize,
    /// Operations whose fate nobody knew.
    pub unknown: usize,
    /// What became of the rows of the set test.
    pub rows: Losses,
    /// How far the wall clock was set meanwhile, in milliseconds: journals are placed by it.
    pub wall_clock_drift_ms: u128,
    /// By kind.
    pub kinds: BTreeMap<String, OfAKind>,
    /// Every fault.
    pub faults: Vec<Happened>,
    /// What was checked.
    pub verdicts: Vec<Verdict>,
    /// Why the run ended early.
    pub ended_early: Option<String>,
}

impl SoakReport {
    /// Whether every promise was kept.
    #[must_use]
    pub fn kept(&self) -> bool {
        self.ended_early.is_none() && self.verdicts.iter().all(Verdict::kept)
    }

    /// The numbers as a person reads them.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!(
                "seed {}, {:.1} min, {}{}, load {:.1}: {} faults, {} operations, {} writes acknowledged, {} unknown, {} lost",
                self.seed,
                self.minutes,
                self.durability,
                if self.overlapping { ", overlapping" } else { "" },
                self.load,
                self.faults.len(),
                self.operations,
                self.acknowledged_writes,
                self.unknown,
                self.rows.lost
            ),
            format!("  {:<18} {:>5} {:>9} {:>9}  within 5 s", "fault", "count", "median", "max"),
        ];
        for (kind, it) in &self.kinds {
            let within = it.within_5_seconds.map_or("-", |within| if within { "yes" } else { "NO" });
            let (median, max) = (it.gap_median_seconds, it.gap_max_seconds);
            lines.push(format!("  {kind:<18} {:>5} {median:>7.2} s {max:>7.2} s  {within}", it.count));
        }
        for verdict in &self.verdicts {
            let word = if verdict.kept() { "kept  " } else { "BROKEN" };
            lines.push(format!("  {word} {} ({} looked at)", verdict.check, verdict.looked_at));
            lines.extend(verdict.named.iter().map(|what| format!("           {what}")));
        }
        lines.extend(self.ended_early.iter().map(|why| format!("  BROKEN {why}")));
        lines
    }
}

/// The faults by kind.
#[must_use]
pub fn by_kind(faults: &[Happened]) -> BTreeMap<String, OfAKind> {
    let mut gaps: BTreeMap<Kind, Vec<f64>> = BTreeMap::new();
    for fault in faults {
        gaps.entry(fault.kind).or_default().push(fault.gap_seconds);
    }
    let of_a_kind = |(kind, mut gaps): (Kind, Vec<f64>)| {
        gaps.sort_by(f64::total_cmp);
        let max = gaps.last().copied().unwrap_or_default();
        let it = OfAKind {
            count: gaps.len(),
            gap_median_seconds: f64::midpoint(gaps[(gaps.len() - 1) / 2], gaps[gaps.len() / 2]),
            gap_max_seconds: max,
            within_5_seconds: (kind.scope() == Scope::OneHost).then_some(max <= BACK_SECONDS_MAX),
        };
        (kind.to_string(), it)
    };
    gaps.into_iter().map(of_a_kind).collect()
}

/// The longest silence between two consecutive acknowledgements, of which the second came after `from` and the first
/// before `until`; from the last one to `until` when none came any more.
#[must_use]
pub fn gap(acknowledgements: &[Duration], from: Duration, until: Duration) -> Duration {
    let first = acknowledgements.partition_point(|at| *at <= from).saturating_sub(1);
    let mut last = acknowledgements.get(first).copied().unwrap_or(from).min(until);
    let mut longest = Duration::ZERO;
    for at in acknowledgements[first..].iter().copied().chain([Duration::MAX]) {
        longest = longest.max(at.min(until).saturating_sub(last));
        if at >= until {
            break;
        }
        last = at;
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_the_longest_silence_that_touches_the_time() {
        let ms = Duration::from_millis;
        let times: Vec<_> = [0, 100, 4_000, 4_100, 9_000].map(ms).to_vec();
        assert_eq!(gap(&times, ms(150), ms(5_000)), ms(3_900));
        assert_eq!(
            gap(&times, ms(4_050), ms(6_000)),
            ms(1_900),
            "writes that do not come back count to the end"
        );
        assert_eq!(gap(&[], ms(10), ms(60)), ms(50));
    }
}
