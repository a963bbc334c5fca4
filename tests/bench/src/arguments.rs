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
    /// What agent and guard cost while nothing happens
    Idle(IdlePlan),
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

/// What was asked for, or everything.
pub fn asked<T: Copy>(asked: &[T], everything: &[T]) -> Vec<T> {
    if asked.is_empty() { everything.to_vec() } else { asked.to_vec() }
}
