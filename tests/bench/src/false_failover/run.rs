//! One condition and what it cost.

use std::time::Duration;

use sb_lab::recorder::Findings;
use serde::{Deserialize, Serialize};

use crate::arguments::{Condition, FalseFailoverPlan};
use crate::cluster::Note;
use crate::sheet::Bar;

/// Most notes that are kept of a run.
const NOTES_MAX: usize = 1_000;

/// What the machine writes down when a primary ends, for whatever reason.
const LEFT: &str = "from Leading to ";

/// What was seen.
#[derive(Debug)]
pub struct Measured {
    /// What the journals say.
    pub notes: Vec<Note>,
    /// How many terms began.
    pub terms: u64,
    /// Longest time without an acknowledgement; absent when writes did not come back.
    pub gap: Option<Duration>,
    /// What became of the clients' writes.
    pub findings: Findings,
}

impl Measured {
    /// How often a primary ended.
    pub fn demotions(&self) -> usize {
        let left = self.count("machine.moved", |note| note.message.starts_with(LEFT));
        left.max(usize::try_from(self.terms).unwrap_or(usize::MAX))
    }

    fn count(&self, kind: &str, which: impl Fn(&Note) -> bool) -> usize {
        self.notes.iter().filter(|note| note.kind == kind && which(note)).count()
    }
}

/// One condition and what it cost. The fields are a contract with whoever reads the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What was in trouble.
    pub condition: String,
    /// For how long.
    pub minutes: u16,
    /// What a commit waited for.
    pub durability: String,
    /// How often a primary ended.
    pub demotions: Option<usize>,
    /// How often a standby got ready to take over.
    pub alarms: usize,
    /// How often a primary went on without the store.
    pub bridged: usize,
    /// How often the lease was made longer or shorter.
    pub lease_changes: usize,
    /// Longest silence between two acknowledgements; absent when writes did not come back.
    pub write_gap_seconds: Option<f64>,
    /// Writes that were acknowledged.
    pub acknowledged: usize,
    /// Of these, how many are missing at the end.
    pub lost: usize,
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
        condition: Condition,
        plan: &FalseFailoverPlan,
        measured: anyhow::Result<Measured>,
        load: f64,
    ) -> Self {
        let (measured, error) = match measured {
            Ok(measured) => (Some(measured), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        let of = measured.as_ref();
        let count = |kind| of.map_or(0, |measured| measured.count(kind, |_| true));
        let (alarms, bridged, lease_changes) =
            (count("failover.detected"), count("failsafe.holds"), count("lease.length"));
        Self {
            condition: condition.as_str().to_owned(),
            minutes: plan.minutes,
            durability: plan.durability.to_string(),
            demotions: of.map(Measured::demotions),
            alarms,
            bridged,
            lease_changes,
            write_gap_seconds: of.and_then(|m| m.gap).map(|gap| (gap.as_secs_f64() * 1e3).round() / 1e3),
            acknowledged: of.map_or(0, |measured| measured.findings.acknowledged),
            lost: of.map_or(0, |measured| measured.findings.lost.len()),
            load,
            error,
            notes: measured.map(|m| m.notes.into_iter().take(NOTES_MAX).collect()).unwrap_or_default(),
        }
    }

    /// Whether it answers what is asked.
    pub fn is_of(&self, condition: Condition, plan: &FalseFailoverPlan) -> bool {
        let same = self.condition == condition.as_str() && self.durability == plan.durability.as_str();
        same && self.minutes >= plan.minutes && self.error.is_none()
    }

    /// No primary is given up.
    pub fn bar(&self) -> Option<Bar> {
        let demotions = u32::try_from(self.demotions?).unwrap_or(u32::MAX);
        let name = format!("{}, {} min, {}: demotions", self.condition, self.minutes, self.durability);
        Some(Bar::at_most(name, f64::from(demotions), 0.0))
    }

    /// For the person who waits.
    pub fn line(&self) -> String {
        let Self { condition, minutes, alarms, bridged, lease_changes, acknowledged, lost, load, .. } = self;
        let Some(demotions) = self.demotions else {
            return format!("{condition:<18} {}", self.error.as_deref().unwrap_or("not measured"));
        };
        let gap = self.write_gap_seconds.map_or("no end".to_owned(), |gap| format!("{gap:.3} s"));
        format!(
            "{condition:<18} {minutes} min: {demotions} demotions, longest time without writes {gap}, {alarms} \
             alarms, {bridged} bridged, {lease_changes} changes of the lease's length, {lost} of {acknowledged} \
             lost, load {load:.1}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_primary_that_ends_is_counted_once_and_a_standby_that_moves_is_not() {
        let note = |message: &str| Note {
            seconds: 1.0,
            server: "ravena-1".into(),
            kind: "machine.moved".into(),
            message: message.into(),
        };
        let notes =
            vec![note("from Leading to Fencing: DeadlinePassed"), note("from Frozen to Following: Voided")];
        let findings = Findings::default();
        let measured = Measured { notes, terms: 1, gap: None, findings };
        assert_eq!(measured.demotions(), 1);
    }
}
