//! The agent's runtime: the place where store, failover, replication and the guard meet.

pub mod fence;
pub mod guard;
