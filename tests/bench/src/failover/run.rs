//! One fault and what it cost.

use std::fmt;

use sb_lab::options::{Durability, Profile, Scenario};
use serde::{Deserialize, Serialize};

use super::drill::Measured;
use crate::cluster::Note;

/// Our product's name in the file.
pub const OURS: &str = "show-build";

/// What a cluster is built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Which timings.
    pub policy: Profile,
    /// What a commit waits for.
    pub durability: Durability,
}

impl Setting {
    /// One word for names of directories.
    pub fn word(self) -> String {
        format!("{}-{}", self.policy.as_str(), self.durability)
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} policy, {} durability", self.policy.as_str(), self.durability)
    }
}

/// One fault and what it cost. The fields are a contract with whoever reads the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// `show-build`, or a peer.
    pub product: String,
    /// Which timings.
    pub policy: String,
    /// What a commit waits for.
    pub durability: String,
    /// What went wrong.
    pub scenario: String,
    /// Who was primary, and who was afterwards.
    pub old_primary: Option<String>,
    /// Who was afterwards.
    pub new_primary: Option<String>,
    /// The number of its primaryship.
    pub term: Option<u64>,
    /// Longest silence between two acknowledgements across the fault; absent when writes did not come back.
    pub write_gap_seconds: Option<f64>,
    /// From the fault until the old primary's last acknowledgement, where it went on running.
    pub isolated_answer_seconds: Option<f64>,
    /// From the end of the fault until every server followed the primary.
    pub whole_seconds: Option<f64>,
    /// Writes that were acknowledged.
    pub acknowledged: usize,
    /// Of these, how many the survivor does not have.
    pub lost: usize,
    /// Writes that ended without an answer.
    pub unanswered: usize,
    /// Load average of the machine right after it.
    pub load: f64,
    /// Why it could not be measured.
    pub error: Option<String>,
    /// What the servers' journals say of it.
    pub notes: Vec<Note>,
}

impl Run {
    /// The run of a measurement, also of one that failed.
    pub fn new(
        product: &str,
        setting: Setting,
        scenario: Scenario,
        measured: anyhow::Result<Measured>,
        load: f64,
    ) -> Self {
        let (measured, error) = match measured {
            Ok(measured) => (Some(measured), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        let of = measured.as_ref();
        Self {
            product: product.to_owned(),
            policy: setting.policy.as_str().to_owned(),
            durability: setting.durability.to_string(),
            scenario: scenario.to_string(),
            old_primary: of.map(|measured| measured.old.to_string()),
            new_primary: of.map(|measured| measured.new.to_string()),
            term: of.and_then(|measured| measured.term),
            write_gap_seconds: of.and_then(|measured| measured.gap).map(seconds),
            isolated_answer_seconds: of.and_then(|measured| measured.isolated_answer).map(seconds),
            whole_seconds: of.map(|measured| seconds(measured.whole)),
            acknowledged: of.map_or(0, |measured| measured.findings.acknowledged),
            lost: of.map_or(0, |measured| measured.findings.lost.len()),
            unanswered: of.map_or(0, |measured| measured.findings.unknown),
            load,
            error,
            notes: measured.map(|measured| measured.notes).unwrap_or_default(),
        }
    }

    /// Whether it belongs there.
    pub fn is_of(&self, product: &str, setting: Setting, scenario: Scenario) -> bool {
        self.product == product
            && self.policy == setting.policy.as_str()
            && self.durability == setting.durability.as_str()
            && self.scenario == scenario.as_str()
    }

    /// For the person who waits.
    pub fn line(&self) -> String {
        let Self { scenario, lost, acknowledged, load, .. } = self;
        let (old, new) = (self.old_primary.as_deref(), self.new_primary.as_deref());
        match (self.write_gap_seconds, &self.error) {
            (Some(gap), None) => format!(
                "{scenario:<15} {gap:6.3} s without writes, {lost} of {acknowledged} lost, `{}` to `{}`, whole \
                 after {:.1} s, load {load:.1}",
                old.unwrap_or("?"),
                new.unwrap_or("?"),
                self.whole_seconds.unwrap_or(0.0),
            ),
            (None, None) => format!("{scenario:<15} writes did not come back"),
            (_, Some(error)) => format!("{scenario:<15} {error}"),
        }
    }
}

/// Three digits are what a hundred writes a second can tell.
fn seconds(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1_000.0).round() / 1_000.0
}
