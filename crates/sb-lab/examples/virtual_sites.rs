//! The lab and the demo as a program of their own.
//!
//! ```text
//! cargo build -p sb-agent
//! cargo run -p sb-lab --example virtual_sites -- demo --scenario host-loss
//! cargo run -p sb-lab --example virtual_sites -- lab up
//! ```

use std::process::ExitCode;

use clap::Parser;
use sb_lab::cli::{DemoArgs, LabArgs, run_demo, run_lab};

#[derive(Debug, Parser)]
enum Words {
    /// Five sites on this machine, a failover before your eyes
    Demo(DemoArgs),
    /// The virtual sites, by hand
    Lab(LabArgs),
}

fn main() -> ExitCode {
    match Words::parse() {
        Words::Demo(args) => run_demo(args),
        Words::Lab(args) => run_lab(args),
    }
}
