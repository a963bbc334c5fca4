//! What can be done to the virtual sites.

use clap::ValueEnum;

/// A part of a server that can fail by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Everything on it, as when the power goes: its network goes dark, then every process is killed.
    Host,
    /// The guard, PostgreSQL's parent.
    Guard,
    /// The agent.
    Agent,
    /// PostgreSQL's postmaster.
    Postgres,
}
