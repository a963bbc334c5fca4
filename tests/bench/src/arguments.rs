//! The words of the command line.

use std::path::PathBuf;

use sb_lab::options::{Durability, Profile, Scenario};

use crate::peer::Peer;

/// Measures the product on virtual sites.
#[derive(Debug, clap::Parser)]
#[command(name = "bench", bin_name = "./run bench")]
pub struct Arguments {
    /// What is measured
    #[command(subcommand)]
    pub measurement: Measurement,
}

/// The measurements.
#[derive(Debug, clap::Subcommand)]
pub enum Measurement {
    /// How long clients cannot write after a fault, and what is lost
    Failover(FailoverPlan),
    /// How often a primary is given up for nothing while network or store are in trouble
    FalseFailover(FalseFailoverPlan),
    /// What agent and guard cost while nothing happens
    Idle(IdlePlan),
    /// A TCP stream through our userspace WireGuard, beside boringtun-cli and wireguard-go
    Mesh(MeshPlan),
    /// pgbench through our proxy, beside HAProxy, and what a quiet connection costs
    Proxy(ProxyPlan),
}

/// `./run bench failover`
#[derive(Debug, clap::Args)]
pub struct FailoverPlan {
    /// Write every run and the bars to this file, after each run
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Runs of each scenario under each policy and durability
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub runs: u16,
    /// What goes wrong; may be given several times [default: all]
    #[arg(long, value_enum)]
    pub scenario: Vec<Scenario>,
    /// What a commit waits for; may be given several times [default: async and sync]
    #[arg(long, value_enum)]
    pub durability: Vec<Durability>,
    /// Which timings; may be given several times [default: both]
    #[arg(long, value_enum)]
    pub policy: Vec<Profile>,
    /// A product to measure beside ours, under default timings and its quickest safe ones
    #[arg(long, value_enum)]
    pub peer: Vec<Peer>,
    /// Keep the runs that the file has already and measure only what is missing
    #[arg(long, requires = "json")]
    pub resume: bool,
}

/// `./run bench false-failover`
#[derive(Debug, clap::Args)]
pub struct FalseFailoverPlan {
    /// Write every run and the bars to this file, after each run
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// How long each condition lasts, in minutes
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=600))]
    pub minutes: u16,
    /// What is in trouble; may be given several times [default: all]
    #[arg(long, value_enum)]
    pub condition: Vec<Condition>,
    /// What a commit waits for
    #[arg(long, value_enum, default_value = "async")]
    pub durability: Durability,
    /// Keep the conditions that the file has already and measure only what is missing
    #[arg(long, requires = "json")]
    pub resume: bool,
}

/// A trouble that is no reason to give a primary up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Condition {
    /// 30 % of the packets between sites are lost, each way
    Loss30,
    /// The store hangs again and again for less than the lease
    StallShort,
    /// The store hangs for 5 s every half minute, and the failsafe is on
    #[value(name = "stall-5s-failsafe")]
    Stall5sFailsafe,
    /// One voter's agent after the other is away for 45 s of each minute
    OneAgentDown,
    /// The same for two at a time
    TwoAgentsDown,
}

impl Condition {
    /// All, in the order of the documentation.
    pub const ALL: [Self; 5] =
        [Self::Loss30, Self::StallShort, Self::Stall5sFailsafe, Self::OneAgentDown, Self::TwoAgentsDown];

    /// The word of the command line and of the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loss30 => "loss30",
            Self::StallShort => "stall-short",
            Self::Stall5sFailsafe => "stall-5s-failsafe",
            Self::OneAgentDown => "one-agent-down",
            Self::TwoAgentsDown => "two-agents-down",
        }
    }
}

/// `./run bench idle`
#[derive(Debug, clap::Args)]
pub struct IdlePlan {
    /// Write the figures and the bars to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// How long is looked at, in seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(5..=3600))]
    pub seconds: u16,
    /// What a commit waits for
    #[arg(long, value_enum, default_value = "async")]
    pub durability: Durability,
}

/// `./run bench mesh`
#[derive(Debug, clap::Args)]
pub struct MeshPlan {
    /// Write every run and the bars to this file, after each run
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Rounds; in each of them every program has its turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub runs: u16,
    /// How long a stream lasts, in seconds
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(2..=600))]
    pub seconds: u16,
}

/// `./run bench proxy`
#[derive(Debug, clap::Args)]
pub struct ProxyPlan {
    /// Write every run and the bars to this file, after each run
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Rounds; in each of them every way has its turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub runs: u16,
    /// How long pgbench runs each time, in seconds
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(2..=600))]
    pub seconds: u16,
    /// pgbench's scale factor
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub scale: u16,
}

/// What was asked for, or everything.
pub fn asked<T: Copy>(asked: &[T], everything: &[T]) -> Vec<T> {
    if asked.is_empty() { everything.to_vec() } else { asked.to_vec() }
}
