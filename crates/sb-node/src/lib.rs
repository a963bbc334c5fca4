//! The agent's runtime: the only place where replication, failover, the store and the guard meet.
//!
//! Two processes a server: the [`guard`], which is PostgreSQL's parent and knows one deadline, and the agent,
//! which is everything else. How they fit together is in `docs/adr/2026-11-23-anatomy.md`.

pub mod fence;
pub mod guard;
pub mod http;

mod boottime;
mod dialer;
mod journal;
mod layout;

pub use layout::Layout;
