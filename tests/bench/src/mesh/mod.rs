//! `./run bench mesh`: a stream through our tunnel, through boringtun-cli's and through wireguard-go's.
//!
//! Two network namespaces with a line between them, a daemon in each. The three programs take turns, so that a machine
//! that gets busy is busy for all of them.

mod daemon;
mod line;
mod run;

use anyhow::Context;

use crate::arguments::MeshPlan;
use crate::sheet::{Bar, Sheet, bar_lines};
use crate::statistics::{maximum, median};

use daemon::Program;
use line::Line;
use run::MeshRun;

const THROUGHPUT_OF_BORINGTUN_MIN: f64 = 3.0;
const THROUGHPUT_OF_WIREGUARD_GO_MIN: f64 = 2.0;
const CPU_OF_BORINGTUN_MAX: f64 = 1.0 / 3.0;
/// No worse; two medians of the same thing differ by less.
const LATENCY_OF_OTHERS_MAX: f64 = 1.0;
const MEMORY_MIB_MAX: f64 = 20.0;

/// Measures.
pub fn measure(plan: &MeshPlan) -> anyhow::Result<()> {
    let mut sheet: Sheet<MeshRun> = Sheet::new("mesh")?;
    let line = Line::lay().context("cannot make two hosts with a line between them")?;
    for round in 1..=plan.runs {
        for program in Program::ALL {
            let run = run::measure(&line, program, round, plan.seconds)
                .with_context(|| format!("{} in round {round}", program.as_str()))?;
            eprintln!("{}", run.as_line());
            sheet.runs.push(run);
            sheet.bars = bars(&sheet.runs);
            if let Some(path) = &plan.json {
                sheet.write(path)?;
            }
        }
    }
    for text in bar_lines(&sheet.bars) {
        println!("{text}");
    }
    Ok(())
}

fn bars(runs: &[MeshRun]) -> Vec<Bar> {
    let figures = |program: Program, figure: fn(&MeshRun) -> f64| -> Vec<f64> {
        runs.iter().filter(|run| run.program == program.as_str()).map(figure).collect()
    };
    let ratio = |other: Program, figure: fn(&MeshRun) -> f64| {
        Some(median(&figures(Program::Ours, figure))? / median(&figures(other, figure))?)
    };
    let speed = |run: &MeshRun| run.gigabits_a_second;
    let latency = |run: &MeshRun| run.idle_p50_ms;
    let cpu = |run: &MeshRun| run.cpu_seconds_a_gigabyte;
    let memory = |run: &MeshRun| run.memory_mib;
    let bars = [
        ratio(Program::Boringtun, speed).map(|value| {
            Bar::at_least(
                "one TCP stream, as a multiple of boringtun-cli's".into(),
                value,
                THROUGHPUT_OF_BORINGTUN_MIN,
            )
        }),
        ratio(Program::WireguardGo, speed).map(|value| {
            Bar::at_least(
                "one TCP stream, as a multiple of wireguard-go's".into(),
                value,
                THROUGHPUT_OF_WIREGUARD_GO_MIN,
            )
        }),
        ratio(Program::Boringtun, cpu).map(|value| {
            Bar::at_most(
                "both daemons' CPU time a gigabyte, as a part of boringtun-cli's".into(),
                value,
                CPU_OF_BORINGTUN_MAX,
            )
        }),
        ratio(Program::Boringtun, latency).map(|value| {
            Bar::at_most(
                "idle round trip (p50), as a part of boringtun-cli's".into(),
                value,
                LATENCY_OF_OTHERS_MAX,
            )
        }),
        ratio(Program::WireguardGo, latency).map(|value| {
            Bar::at_most(
                "idle round trip (p50), as a part of wireguard-go's".into(),
                value,
                LATENCY_OF_OTHERS_MAX,
            )
        }),
        maximum(&figures(Program::Ours, memory)).map(|value| {
            Bar::at_most("daemon with 5 peers after the stream: resident MiB".into(), value, MEMORY_MIB_MAX)
        }),
    ];
    bars.into_iter().flatten().collect()
}
