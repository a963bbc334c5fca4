//! Chaos on the real thing: clients, faults from a seed, and a check of every promise afterwards.
//!
//! [`history`] is what the clients asked and were answered, [`workload`] the clients themselves.

pub mod history;
pub mod workload;
