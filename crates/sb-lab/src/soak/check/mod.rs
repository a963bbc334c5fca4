//! Judges a run. Pure: a history, what the servers hold at the end, and what their journals say go in; verdicts come
//! out. Each check has a history among its tests that makes it fail.

mod accounts;
mod bound;
mod cycles;
mod journals;
mod leases;
mod lineage;
mod lists;
mod register;
mod repairs;
mod rows;
mod survivors;
mod thaws;

use serde::Serialize;

pub use accounts::check_accounts;
pub use bound::check_bound;
pub use journals::{Reign, Told, check_holders, check_terms, read_lease_ms, read_reigns};
pub use leases::check_leases;
pub use lineage::{
    Ancestors, Handover, Promotion, Timelines, WalPlace, check_lineage, check_succession, read_ancestors,
    read_promotions,
};
pub use lists::check_lists;
pub use register::check_register;
pub use repairs::{Kept, check_repairs, check_reports};
pub use rows::{Losses, check_rows};
pub use survivors::check_survivors;
pub use thaws::Thaw;

/// Violations that a verdict names; it counts all.
pub const VIOLATIONS_NAMED_MAX: usize = 20;

/// What one check has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What was looked at, as a sentence of what should be so.
    pub check: &'static str,
    /// How many things were looked at: a check that has seen nothing has shown nothing.
    pub looked_at: usize,
    /// How often it was not so.
    pub violations: usize,
    /// The first of them.
    pub named: Vec<String>,
}

impl Verdict {
    /// Nothing found yet.
    #[must_use]
    pub fn new(check: &'static str) -> Self {
        Self { check, looked_at: 0, violations: 0, named: Vec::new() }
    }

    /// Something was looked at.
    pub fn look(&mut self) {
        self.looked_at += 1;
    }

    /// Something is not as it should be.
    pub fn violated(&mut self, what: impl Into<String>) {
        self.violations += 1;
        if self.named.len() < VIOLATIONS_NAMED_MAX {
            self.named.push(what.into());
        }
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn kept(&self) -> bool {
        self.violations == 0
    }
}

#[cfg(test)]
mod made {
    //! Histories made by hand.

    use std::time::Duration;

    use crate::place::Place;
    use crate::soak::history::{Action, History, Isolation, Operation, Outcome, Step};

    /// The n-th operation is sent at 10 n ms and ends 5 ms later.
    pub(super) fn history(actions: Vec<(Action, Outcome)>) -> History {
        let operations = (0u32..).zip(actions).map(|(number, (action, outcome))| Operation {
            process: number,
            action,
            outcome,
            invoked: Duration::from_millis(u64::from(number) * 10),
            ended: Duration::from_millis(u64::from(number) * 10 + 5),
            seat: Place::OFFICE,
            server: Place::named("ravena-1").unwrap(),
            term: None,
        });
        History::new(operations.collect())
    }

    pub(super) fn failed() -> Outcome {
        Outcome::Fail("refused".into())
    }

    pub(super) fn unknown() -> Outcome {
        Outcome::Info("no answer".into())
    }

    pub(super) fn lists(isolation: Isolation, steps: &[Step]) -> Action {
        Action::Lists { isolation, steps: steps.to_vec() }
    }

    pub(super) fn append(key: i64, value: i64) -> Step {
        Step::Append { key, value }
    }

    pub(super) fn read(key: i64, seen: &[i64]) -> Step {
        Step::Read { key, seen: Some(seen.to_vec()) }
    }
}
