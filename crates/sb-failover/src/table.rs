use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::State;

/// Why a machine changes its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Trigger {
    /// There is nothing here.
    NoData,
}

/// One allowed change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// From.
    pub from: State,
    /// Why.
    pub trigger: Trigger,
    /// To.
    pub to: State,
    /// The rule that asks for it.
    pub rule: &'static str,
}

/// Every change of state there is.
pub const TABLE: &[Row] =
    &[Row { from: State::Starting, trigger: Trigger::NoData, to: State::Waiting, rule: "R7" }];

/// The table as a Mermaid state diagram.
#[must_use]
pub fn mermaid() -> String {
    let mut text = String::from("stateDiagram-v2\n    [*] --> Starting\n");
    for row in TABLE {
        let _ = writeln!(text, "    {} --> {}: {:?} ({})", row.from, row.to, row.trigger, row.rule);
    }
    text
}
