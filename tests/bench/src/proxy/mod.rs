//! `./run bench proxy`: pgbench straight to PostgreSQL, through our proxy and through HAProxy in TCP mode, in turns; and
//! what a quiet connection costs in memory.

mod crowd;
mod database;
mod program;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::arguments::ProxyPlan;
use crate::idle::Reading;
use crate::sheet::{Bar, Sheet, bar_lines};
use crate::statistics::median;

use database::Database;
use program::{Forwarder, Program};

/// Clients of the measurement of throughput.
const CLIENTS: u16 = 8;

const THROUGHPUT_OF_HAPROXY_MIN: f64 = 0.9;
const ADDED_P50_MS_MAX: f64 = 0.1;
const KIB_A_CONNECTION_MAX: f64 = 12.0;
const KIB_PER_MIB: f64 = 1024.0;

/// One way to the server in one round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProxyRun {
    /// `direct`, `ours` or `haproxy`.
    pub program: String,
    /// Which round.
    pub round: u16,
    /// Transactions a second of eight clients.
    pub transactions_a_second: f64,
    /// The middle latency of one client alone, in milliseconds.
    pub p50_ms: f64,
    /// Processor time of the program for a million transactions, in seconds; 0 without one.
    pub cpu_seconds_a_million: f64,
    /// Resident memory that each of 5,000 quiet connections added, in KiB; 0 without a program.
    pub kib_a_connection: f64,
}

/// Measures.
pub async fn measure(plan: &ProxyPlan, root: &std::path::Path) -> anyhow::Result<()> {
    let mut sheet: Sheet<ProxyRun> = Sheet::new("proxy")?;
    program::loopback_up()?;
    crowd::raise_descriptors()?;
    let database = Database::start(root, plan.scale).context("cannot start PostgreSQL")?;
    for round in 1..=plan.runs {
        for program in Program::ALL {
            let run = one(&database, root, program, round, plan)
                .await
                .with_context(|| format!("{} in round {round}", program.as_str()))?;
            eprintln!("{run:?}");
            sheet.runs.push(run);
            sheet.bars = bars(&sheet.runs);
            if let Some(path) = &plan.json {
                sheet.write(path)?;
            }
        }
    }
    bar_lines(&sheet.bars).iter().for_each(|line| println!("{line}"));
    Ok(())
}

async fn one(
    database: &Database,
    root: &std::path::Path,
    program: Program,
    round: u16,
    plan: &ProxyPlan,
) -> anyhow::Result<ProxyRun> {
    let mut run = ProxyRun {
        program: program.as_str().to_owned(),
        round,
        transactions_a_second: 0.0,
        p50_ms: 0.0,
        cpu_seconds_a_million: 0.0,
        kib_a_connection: 0.0,
    };
    let forwarder = Forwarder::start(program, root, database.port())?;
    let port = forwarder.as_ref().map_or(database.port(), |_| program::PORT);
    let usage = || forwarder.as_ref().map(Forwarder::usage).transpose();
    let before = usage()?;
    run.transactions_a_second = database.throughput(port, CLIENTS, plan.seconds)?;
    if let (Some(before), Some(after)) = (before, usage()?) {
        let transactions = run.transactions_a_second * f64::from(plan.seconds);
        run.cpu_seconds_a_million = (after.cpu_seconds - before.cpu_seconds) / transactions * 1e6;
    }
    run.p50_ms = database.latency(root, port, plan.seconds)?;
    drop(forwarder);
    if program != Program::Direct {
        run.kib_a_connection = memory(program, root).await?;
    }
    Ok(run)
}

/// Of a program that has done nothing else.
async fn memory(program: Program, root: &std::path::Path) -> anyhow::Result<f64> {
    let stub = crowd::Stub::listen().await?;
    let forwarder = Forwarder::start(program, root, stub.port())?.context("direct needs no memory")?;
    // What the first connections leave behind is not theirs alone.
    drop(crowd::Crowd::gather(&stub, program::PORT, crowd::WARM_UP).await?);
    let before: Reading = forwarder.usage()?;
    let crowd = crowd::Crowd::gather(&stub, program::PORT, crowd::CONNECTIONS).await?;
    let after: Reading = forwarder.usage()?;
    drop(crowd);
    let connections = u32::try_from(crowd::CONNECTIONS)?;
    Ok((after.memory_mib - before.memory_mib) * KIB_PER_MIB / f64::from(connections))
}

fn bars(runs: &[ProxyRun]) -> Vec<Bar> {
    let figures = |program: Program, figure: fn(&ProxyRun) -> f64| {
        let of = runs.iter().filter(|run| run.program == program.as_str());
        median(&of.map(figure).collect::<Vec<_>>())
    };
    let speed = |run: &ProxyRun| run.transactions_a_second;
    let latency = |run: &ProxyRun| run.p50_ms;
    let memory = |run: &ProxyRun| run.kib_a_connection;
    let both = |one: Option<f64>, other: Option<f64>| one.zip(other);
    let throughput = both(figures(Program::Ours, speed), figures(Program::Haproxy, speed));
    let added = both(figures(Program::Ours, latency), figures(Program::Direct, latency));
    let bars = [
        throughput.map(|(ours, theirs)| {
            let name = "pgbench -S, 8 clients: throughput, as a part of HAProxy's".into();
            Bar::at_least(name, ours / theirs, THROUGHPUT_OF_HAPROXY_MIN)
        }),
        added.map(|(ours, direct)| {
            let name = "pgbench -S, 1 client: p50 latency added, in ms".into();
            Bar::at_most(name, ours - direct, ADDED_P50_MS_MAX)
        }),
        figures(Program::Ours, memory).map(|ours| {
            let name = "5,000 quiet connections: resident KiB each".into();
            Bar::at_most(name, ours, KIB_A_CONNECTION_MAX)
        }),
    ];
    bars.into_iter().flatten().collect()
}
