//! Chaos on the real thing: clients, faults from a seed, and a check of every promise afterwards.
//!
//! [`history`] is what the clients asked and were answered, [`workload`] the clients themselves, [`nemesis`] what goes
//! wrong, [`check`] the judgement, [`run`] plays it all on a lab, and [`sum`] adds several runs up.

pub mod check;
pub mod history;
mod journals;
pub mod nemesis;
mod report;
mod run;
pub mod sum;
pub mod workload;

pub use report::{Happened, OfAKind, SoakReport};
pub use run::{SoakError, SoakPlan, Soaked, Weather, run};
