//! Adds the reports of several runs up: hours may be made of many short ones.

use std::fmt::Write;

use serde::Deserialize;

use super::check::Losses;
use super::nemesis::{Kind, Scope};

/// What a sum needs of a run's report.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Told {
    seed: u64,
    minutes: f64,
    every_seconds: u64,
    build: String,
    durability: String,
    overlapping: bool,
    load: f64,
    acknowledged_writes: usize,
    unknown: usize,
    rows: Losses,
    faults: Vec<Gap>,
    verdicts: Vec<Kept>,
    ended_early: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Gap {
    kind: Kind,
    gap_seconds: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Kept {
    check: String,
    violations: usize,
}

/// The runs as a table of a document, one line each, and under it one line a durability with the sums. Runs of
/// overlapping faults are summed apart: none of their gaps belongs to one fault.
#[must_use]
pub fn table(runs: &[Told]) -> String {
    let mut text = String::from(
        "| seed | minutes | every | durability | build | faults | acknowledged | unknown | lost | one host: faults | \
         median / max | load | verdict |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for run in runs {
        line(&mut text, &run.seed.to_string(), &format!("{} s", run.every_seconds), &[run]);
    }
    let mut kinds: Vec<_> = runs.iter().map(|run| (run.overlapping, run.durability.as_str())).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        let of_it = |run: &&Told| (run.overlapping, run.durability.as_str()) == kind;
        let of_it: Vec<_> = runs.iter().filter(of_it).collect();
        line(&mut text, &format!("**{}**", of_it.len()), "", &of_it);
    }
    text
}

fn line(text: &mut String, name: &str, every: &str, runs: &[&Told]) {
    let Some(first) = runs.first() else { return };
    let overlapping = if first.overlapping { ", overlapping" } else { "" };
    let sum = |count: fn(&Told) -> usize| runs.iter().map(|run| count(run)).sum::<usize>();
    let mut gaps: Vec<f64> = runs.iter().flat_map(|run| run.of_one_host()).collect();
    gaps.sort_by(f64::total_cmp);
    // Writing to a text does not fail.
    let _ = writeln!(
        text,
        "| {name} | {:.1} | {every} | {}{overlapping} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        runs.iter().map(|run| run.minutes).sum::<f64>(),
        first.durability,
        first.build,
        sum(|run| run.faults.len()),
        sum(|run| run.acknowledged_writes),
        sum(|run| run.unknown),
        sum(|run| run.rows.lost),
        gaps.len(),
        gaps_in_words(&gaps),
        loads(runs),
        verdict(runs),
    );
}

fn gaps_in_words(sorted: &[f64]) -> String {
    let Some(max) = sorted.last() else { return "-".into() };
    let median = f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    format!("{median:.2} / {max:.2} s")
}

fn loads(runs: &[&Told]) -> String {
    let least = runs.iter().map(|run| run.load).fold(f64::INFINITY, f64::min);
    let most = runs.iter().map(|run| run.load).fold(0.0, f64::max);
    if runs.len() == 1 { format!("{most:.1}") } else { format!("{least:.1} to {most:.1}") }
}

fn verdict(runs: &[&Told]) -> String {
    let broken: Vec<_> = runs.iter().flat_map(|run| run.broken()).collect();
    if broken.is_empty() { "kept".into() } else { format!("BROKEN: {}", broken.join("; ")) }
}

impl Told {
    fn of_one_host(&self) -> impl Iterator<Item = f64> {
        let one = |it: &&Gap| !self.overlapping && it.kind.scope() == Scope::OneHost;
        self.faults.iter().filter(one).map(|it| it.gap_seconds)
    }

    fn broken(&self) -> Vec<String> {
        let broken = self.verdicts.iter().filter(|it| it.violations > 0);
        let mut named: Vec<_> = broken.map(|it| format!("{} ({})", it.check, it.violations)).collect();
        named.extend(self.ended_early.clone());
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(seed: u64, lost: usize, gaps: &[f64]) -> Told {
        let faults = gaps.iter().map(|gap| Gap { kind: Kind::KillHost, gap_seconds: *gap });
        let wider = Gap { kind: Kind::IsolateSite, gap_seconds: 9.0 };
        Told {
            seed,
            minutes: 30.0,
            every_seconds: 20,
            build: "release".into(),
            durability: "sync".into(),
            overlapping: false,
            load: 2.0,
            acknowledged_writes: 1_000,
            unknown: 3,
            rows: Losses { lost, ..Losses::default() },
            faults: faults.chain([wider]).collect(),
            verdicts: vec![Kept { check: "no acknowledged row is lost".into(), violations: lost }],
            ended_early: None,
        }
    }

    #[test]
    fn runs_of_one_durability_are_added_up() {
        let table = table(&[told(1, 0, &[1.0, 3.0]), told(2, 0, &[4.5]), told(3, 0, &[])]);
        let sum = table.lines().last().unwrap();
        let expected =
            "| **3** | 90.0 |  | sync | release | 6 | 3000 | 9 | 0 | 3 | 3.00 / 4.50 s | 2.0 to 2.0 | kept |";
        assert_eq!(sum, expected);
        assert_eq!(table.lines().count(), 2 + 3 + 1);
    }

    #[test]
    fn a_broken_promise_stands_in_its_line_and_in_the_sum() {
        let table = table(&[told(1, 0, &[1.0]), told(2, 4, &[1.0])]);
        let broken: Vec<_> =
            table.lines().map(|line| line.contains("BROKEN: no acknowledged row is lost (4)")).collect();
        assert_eq!(broken, [false, false, false, true, true]);
    }

    #[test]
    fn overlapping_faults_are_summed_apart_and_have_no_gap_of_their_own() {
        let harsh = Told { overlapping: true, ..told(3, 0, &[7.0]) };
        let table = table(&[told(1, 0, &[1.0]), harsh]);
        assert!(table.contains("| sync, overlapping | release | 2 | 1000 | 3 | 0 | 0 | - |"), "{table}");
    }
}
