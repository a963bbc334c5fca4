//! The runs as a table, and against the bars.

use std::collections::BTreeSet;

use sb_lab::options::{Durability, Profile, Scenario};

use super::run::{OURS, Run};
use crate::sheet::Bar;
use crate::statistics::{maximum, median, ninetieth};

/// What a run whose writes did not come back counts as: longer than was waited.
const NEVER_SECONDS: f64 = 120.0;

/// Longer than any bar: the servers' logs of such a run are worth reading.
pub const KEPT_BEYOND_SECONDS: f64 = 5.0;

/// The runs of one line of the table.
struct Group<'a> {
    product: &'a str,
    scenario: &'a str,
    policy: &'a str,
    durability: &'a str,
    runs: Vec<&'a Run>,
}

/// The table, its head first.
pub fn table(runs: &[Run]) -> Vec<String> {
    let head = format!(
        "  {:<11} {:<15} {:<8} {:<7} {:>4} {:>8} {:>8} {:>8} {:>13} {:>5} {:>11} {:>9}",
        "product",
        "scenario",
        "policy",
        "commits",
        "runs",
        "median",
        "p90",
        "maximum",
        "acknowledged",
        "lost",
        "unanswered",
        "load"
    );
    std::iter::once(head).chain(groups(runs).iter().map(Group::line)).collect()
}

/// Our figures against what was hoped for.
pub fn bars(runs: &[Run]) -> Vec<Bar> {
    let groups = groups(runs);
    let ours: Vec<_> = groups.iter().filter(|group| group.product == OURS).collect();
    let mut bars: Vec<Bar> = ours.iter().flat_map(|group| group.times()).collect();
    bars.extend(ours.iter().filter_map(|group| group.lost()));
    bars.extend(ours.iter().filter_map(|group| group.isolated()));
    let peers = groups.iter().filter(|group| group.product != OURS);
    bars.extend(peers.filter_map(|peer| peer.ratio(&ours)));
    bars
}

fn groups(runs: &[Run]) -> Vec<Group<'_>> {
    let products: BTreeSet<&str> = runs.iter().map(|run| run.product.as_str()).collect();
    // Ours first, whatever the alphabet says.
    let products = std::iter::once(OURS).chain(products.into_iter().filter(|product| *product != OURS));
    let mut groups = Vec::new();
    for product in products {
        for scenario in Scenario::ALL.map(Scenario::as_str) {
            for policy in [Profile::Default, Profile::Fast].map(Profile::as_str) {
                for durability in
                    [Durability::Async, Durability::Sync, Durability::Strict].map(Durability::as_str)
                {
                    let of_it = |run: &&Run| {
                        (run.product.as_str(), run.scenario.as_str()) == (product, scenario)
                            && (run.policy.as_str(), run.durability.as_str()) == (policy, durability)
                    };
                    let runs: Vec<&Run> = runs.iter().filter(of_it).collect();
                    groups.push(Group { product, scenario, policy, durability, runs });
                }
            }
        }
    }
    groups.retain(|group| !group.runs.is_empty());
    groups
}

impl Group<'_> {
    fn gaps(&self) -> Vec<f64> {
        self.runs.iter().map(|run| run.write_gap_seconds.unwrap_or(NEVER_SECONDS)).collect()
    }

    fn line(&self) -> String {
        let gaps = self.gaps();
        let figure = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.3}"));
        let sum = |count: fn(&Run) -> usize| self.runs.iter().map(|run| count(run)).sum::<usize>();
        let loads: Vec<f64> = self.runs.iter().map(|run| run.load).collect();
        format!(
            "  {:<11} {:<15} {:<8} {:<7} {:>4} {:>8} {:>8} {:>8} {:>13} {:>5} {:>11} {:>4}-{}",
            self.product,
            self.scenario,
            self.policy,
            self.durability,
            self.runs.len(),
            figure(median(&gaps)),
            figure(ninetieth(&gaps)),
            figure(maximum(&gaps)),
            sum(|run| run.acknowledged),
            sum(|run| run.lost),
            sum(|run| run.unanswered),
            loads.iter().copied().fold(f64::INFINITY, f64::min).round(),
            maximum(&loads).unwrap_or(0.0).round(),
        )
    }

    fn name(&self, what: &str) -> String {
        format!("{}, {} policy, {}: {what}", self.scenario, self.policy, self.durability)
    }

    fn times(&self) -> Vec<Bar> {
        let gaps = self.gaps();
        let bar = |what: &str, value: Option<f64>| {
            Some(Bar::at_most(
                self.name(&format!("{what} seconds without writes")),
                value?,
                self.limit_seconds(),
            ))
        };
        [bar("median", median(&gaps)), bar("most", maximum(&gaps))].into_iter().flatten().collect()
    }

    /// Our median over this peer's, in the same scenario and setting of the same measurement.
    fn ratio(&self, ours: &[&Group<'_>]) -> Option<Bar> {
        let same = |it: &&&Group<'_>| {
            (it.scenario, it.policy, it.durability) == (self.scenario, self.policy, self.durability)
        };
        let (mine, theirs) = (median(&ours.iter().find(same)?.gaps())?, median(&self.gaps())?);
        let name = self.name(&format!("medians, ours over {}", self.product));
        (theirs > 0.0).then(|| Bar::at_most(name, mine / theirs, 1.0))
    }

    fn limit_seconds(&self) -> f64 {
        let fast = self.policy == Profile::Fast.as_str();
        let lossless = self.durability != Durability::Async.as_str();
        match self.scenario {
            "postgres-crash" if lossless => 1.0,
            "postgres-crash" => 0.6,
            "switchover" => 1.0,
            _ if fast => 3.5,
            _ => 5.0,
        }
    }

    /// Where the durability promises it, and where nothing may be lost under any.
    fn lost(&self) -> Option<Bar> {
        let promised = self.durability != Durability::Async.as_str()
            || ["postgres-crash", "switchover"].contains(&self.scenario);
        let lost: u32 = self.runs.iter().map(|run| u32::try_from(run.lost).unwrap_or(u32::MAX)).sum();
        promised.then(|| Bar::at_most(self.name("acknowledged writes lost"), f64::from(lost), 0.0))
    }

    /// A primary that is cut off answers for no longer than its lease lasts.
    fn isolated(&self) -> Option<Bar> {
        let lease = if self.policy == Profile::Fast.as_str() { 2.5 } else { 3.5 };
        let last: Vec<f64> = self.runs.iter().filter_map(|run| run.isolated_answer_seconds).collect();
        let name = self.name("last answer of the isolated primary, seconds");
        maximum(&last).map(|value| Bar::at_most(name, value, lease))
    }
}
