//! Measurements on the virtual sites, beside the products that people use today: `./run bench NAME --json FILE`.
//!
//! stdout gets the table, stderr the talk, the file every run with its numbers. The exit status says whether it
//! could measure, not whether a bar holds.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is a program for people")]

mod arguments;
mod cluster;
mod failover;
mod false_failover;
mod idle;
mod machine;
mod mesh;
mod peer;
mod proxy;
mod sheet;
mod sites;
mod statistics;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use sb_lab::options::Storage;
use sb_lab::stage::{Inside, Stage, launch_attended};

use crate::arguments::{Arguments, Measurement};

/// As a shell reports a program that was interrupted.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Before any thread: a program with threads cannot move into other namespaces.
    match Stage::now() {
        Stage::Outside => launch_attended(&Storage::Memory).unwrap_or_else(|error| {
            eprintln!("error: {error}\nhint: {}", error.hint());
            ExitCode::FAILURE
        }),
        Stage::Inside(inside) => match run_inside(&inside, &arguments) {
            Ok(code) => code,
            Err(error) => {
                eprintln!("error: could not measure\ndetail: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

fn run_inside(inside: &Inside, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let root = inside.mount()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut interrupt = inside.interrupt();
    runtime.block_on(async {
        tokio::select! {
            measured = measure(arguments, &root) => measured.map(|()| ExitCode::SUCCESS),
            () = interrupt.pulled() => {
                eprintln!("interrupted; what was measured so far is in the file, nothing else is left behind");
                Ok(ExitCode::from(INTERRUPTED))
            }
        }
    })
}

async fn measure(arguments: &Arguments, root: &Path) -> anyhow::Result<()> {
    match &arguments.measurement {
        Measurement::Failover(plan) => failover::measure(plan, root).await,
        Measurement::FalseFailover(plan) => false_failover::measure(plan, root).await,
        Measurement::Idle(plan) => idle::measure(plan, root).await,
        Measurement::Mesh(plan) => mesh::measure(plan),
        Measurement::Proxy(plan) => proxy::measure(plan, root).await,
    }
}
