//! One program, one round.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::daemon::{Daemon, Keys, Program};
use super::line::{End, Line, succeed};
use crate::machine::load;
use crate::statistics::median;

const PINGS: &str = "300";
const PING_INTERVAL_SECONDS: &str = "0.01";
const BYTES_PER_GIGABYTE: f64 = 1e9;
const SERVER_LIMIT: Duration = Duration::from_secs(10);

/// What was found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MeshRun {
    /// Which program.
    pub program: String,
    /// Which of the rounds, from 1.
    pub round: u16,
    /// What one TCP stream brought over.
    pub gigabits_a_second: f64,
    /// Processor time of both daemons for it, their share of the kernel's included.
    pub cpu_seconds_a_gigabyte: f64,
    /// The middle round trip of a small packet while nothing else happens.
    pub idle_p50_ms: f64,
    /// Resident memory of the larger daemon afterwards.
    pub memory_mib: f64,
    /// Load average of the machine at the end.
    pub load: f64,
}

impl MeshRun {
    /// One line for whoever waits.
    pub fn as_line(&self) -> String {
        format!(
            "round {} {:<14} {:>6.2} Gbit/s {:>6.2} CPU s/GB {:>6.3} ms idle {:>6.1} MiB (load {:.1})",
            self.round,
            self.program,
            self.gigabits_a_second,
            self.cpu_seconds_a_gigabyte,
            self.idle_p50_ms,
            self.memory_mib,
            self.load
        )
    }
}

/// Starts a program at both ends and measures it.
pub fn measure(line: &Line, program: Program, round: u16, seconds: u16) -> anyhow::Result<MeshRun> {
    let keys = Keys::make()?;
    let [left, right] = End::BOTH.map(|end| -> anyhow::Result<Daemon> {
        let daemon = Daemon::start(line, program, end)?;
        daemon.configure(&keys)?;
        Ok(daemon)
    });
    let (left, right) = (left?, right?);
    let idle_p50_ms = idle(line)?;
    let before = (left.usage()?, right.usage()?);
    let streamed = stream(line, seconds)?;
    let after = (left.usage()?, right.usage()?);
    let cpu = (after.0.cpu_seconds - before.0.cpu_seconds) + (after.1.cpu_seconds - before.1.cpu_seconds);
    Ok(MeshRun {
        program: program.as_str().to_owned(),
        round,
        gigabits_a_second: streamed.bits_per_second / BYTES_PER_GIGABYTE,
        cpu_seconds_a_gigabyte: cpu / (streamed.bytes / BYTES_PER_GIGABYTE),
        idle_p50_ms,
        memory_mib: after.0.memory_mib.max(after.1.memory_mib),
        load: load()?,
    })
}

fn idle(line: &Line) -> anyhow::Result<f64> {
    let mut ping = line.command(End::Left, "ping");
    ping.args(["-c", PINGS, "-i", PING_INTERVAL_SECONDS, End::Right.inside()]);
    let said = succeed(&mut ping)?;
    let times = said.lines().filter_map(|line| line.split_once("time="));
    let times: Vec<f64> = times.filter_map(|(_, time)| time.split(' ').next()?.parse().ok()).collect();
    median(&times).context("ping told no round trip")
}

#[derive(Deserialize)]
struct Report {
    end: Ending,
}

#[derive(Deserialize)]
struct Ending {
    sum_received: Streamed,
}

#[derive(Deserialize)]
struct Streamed {
    bytes: f64,
    bits_per_second: f64,
}

fn stream(line: &Line, seconds: u16) -> anyhow::Result<Streamed> {
    let mut server = line.command(End::Right, "iperf3");
    server.args(["--server", "--one-off"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = Ended(server.spawn().context("cannot start iperf3")?);
    let began = Instant::now();
    let said = loop {
        let mut client = line.command(End::Left, "iperf3");
        client.args(["--client", End::Right.inside(), "--json", "--time", &seconds.to_string()]);
        match succeed(&mut client) {
            Ok(said) => break said,
            Err(error) if began.elapsed() > SERVER_LIMIT => return Err(error),
            // The server does not listen yet.
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    };
    server.0.wait()?;
    let report: Report = serde_json::from_str(&said).context("iperf3 writes another form than expected")?;
    Ok(report.end.sum_received)
}

/// A process that is ended when nobody waits for it any more.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
