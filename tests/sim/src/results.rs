//! What runs on several days add up to.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::campaign::Report;
use crate::{SOURCE, Tally};

/// Seeds that were run on one source, without a gap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stretch {
    /// The source's fingerprint.
    pub source: String,
    /// The first seed.
    pub from: u64,
    /// How many.
    pub schedules: u64,
    /// How long it took, over all threads, in seconds.
    pub thread_seconds: f64,
    /// Each schedule that broke a rule: seed, profile, rule.
    pub violations: Vec<(u64, String, String)>,
    /// What happened how often.
    pub tally: Tally,
}

/// The results file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// In order of time.
    pub stretches: Vec<Stretch>,
}

impl Results {
    /// What a file holds; nothing when there is none.
    ///
    /// # Errors
    /// When it cannot be read or is not one of ours.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text =
            std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not a results file", path.display()))
    }

    /// Replaces the file at once, so that an interrupted run leaves the last state whole.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let part = path.with_extension("part");
        let mut file =
            std::fs::File::create(&part).with_context(|| format!("could not write {}", part.display()))?;
        file.write_all(serde_json::to_string_pretty(self)?.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&part, path).with_context(|| format!("could not write {}", path.display()))
    }

    /// The first seed after all that were run, on whatever source.
    #[must_use]
    pub fn next_seed(&self) -> u64 {
        self.stretches.iter().map(|s| s.from + s.schedules).max().unwrap_or_default()
    }

    /// How many schedules there are in all, and how many broke a rule.
    #[must_use]
    pub fn totals(&self) -> (u64, usize) {
        let schedules = self.stretches.iter().map(|s| s.schedules).sum();
        (schedules, self.stretches.iter().map(|s| s.violations.len()).sum())
    }

    /// Adds the schedules from `from` on; to the last stretch if they continue it.
    pub fn add(&mut self, from: u64, schedules: u64, thread_seconds: f64, report: &Report) {
        let words =
            |f: &crate::campaign::Failure| (f.seed, f.profile.to_owned(), f.violation.invariant.to_owned());
        let violations = report.failures.iter().map(words);
        let continued =
            self.stretches.last_mut().filter(|s| s.source == SOURCE && s.from + s.schedules == from);
        match continued {
            Some(stretch) => {
                stretch.schedules += schedules;
                stretch.thread_seconds += thread_seconds;
                stretch.violations.extend(violations);
                stretch.tally.merge(&report.tally);
            }
            None => self.stretches.push(Stretch {
                source: SOURCE.to_owned(),
                from,
                schedules,
                thread_seconds,
                violations: violations.collect(),
                tally: report.tally.clone(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_of_one_source_add_up_and_a_gap_begins_another() {
        let mut results = Results::default();
        let report = Report::default();
        results.add(0, 100, 1.0, &report);
        results.add(100, 50, 1.0, &report);
        results.add(500, 10, 1.0, &report);
        assert_eq!(results.stretches.len(), 2);
        assert_eq!((results.next_seed(), results.totals()), (510, (160, 0)));
    }

    #[test]
    fn a_file_holds_what_was_written_to_it() {
        let directory = std::env::temp_dir().join(format!("sb-sim-results-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("results.json");
        let mut results = Results::default();
        results.add(7, 3, 0.5, &Report::default());
        results.write(&path).unwrap();
        assert_eq!(Results::read(&path).unwrap(), results);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
