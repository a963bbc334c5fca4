//! Reads a configuration directory and prints its problems, or who votes.
//!
//! ```sh
//! cargo run -p sb-topology --example voters -- examples/show-build
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example is a program")]

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use sb_topology::load_dir;

fn main() -> ExitCode {
    let directory = env::args_os().nth(1).map_or_else(|| PathBuf::from("/etc/show-build"), PathBuf::from);
    let loaded = match load_dir(&directory) {
        Ok(loaded) => loaded,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::FAILURE;
        }
    };
    for warning in &loaded.warnings {
        eprintln!("{warning}\n");
    }
    let topology = loaded.topology;
    let voters = topology.voters();
    for server in topology.servers() {
        let vote = if voters.contains(&server.name) { "voter" } else { "learner" };
        println!("{:<16} {:<16} {vote}", server.name, server.mesh_address.to_string());
    }
    println!("durability {}, first primary {}", topology.durability(), topology.initial_primary().name);
    if let Err(reason) = topology.automatic_failover() {
        println!("no server takes over by itself: {reason}");
    }
    ExitCode::SUCCESS
}
