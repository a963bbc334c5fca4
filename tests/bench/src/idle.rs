//! `./run bench idle`: what agent and guard cost while nothing happens.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use sb_lab::fault::Part;
use sb_lab::host::Host;
use sb_lab::options::{LabOptions, Mesh};
use serde::{Deserialize, Serialize};

use crate::arguments::IdlePlan;
use crate::cluster::Cluster;
use crate::machine::load;
use crate::sheet::{Bar, Sheet, bar_lines};
use crate::sites::Sites;

/// What the founding of a cluster leaves to be done is over by then.
const SETTLE: Duration = Duration::from_secs(15);

/// The most that agent and guard of one server may take.
const CPU_SECONDS_A_MINUTE_MAX: f64 = 0.8;
const MEMORY_MIB_MAX: f64 = 40.0;

/// The pseudo files of processes count processor time in hundredths of a second (`USER_HZ`, proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

const KIB_PER_MIB: f64 = 1024.0;

/// One server over the time of the measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cost {
    /// Which.
    pub server: String,
    /// `primary` or `standby`.
    pub role: String,
    /// Processor time of its agent, in seconds a minute.
    pub agent_cpu_seconds_a_minute: f64,
    /// Of its guard.
    pub guard_cpu_seconds_a_minute: f64,
    /// Resident memory of its agent at the end, in MiB.
    pub agent_memory_mib: f64,
    /// Of its guard.
    pub guard_memory_mib: f64,
    /// Load average of the machine at the end.
    pub load: f64,
}

/// Agent and guard of one server at one moment.
struct Meter {
    agent: Reading,
    guard: Reading,
}

/// What a process has used.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// Processor time since its beginning.
    pub cpu_seconds: f64,
    /// Resident memory.
    pub memory_mib: f64,
}

/// Measures.
pub async fn measure(plan: &IdlePlan, root: &Path) -> anyhow::Result<()> {
    let mut sheet = Sheet::new("idle")?;
    let options = LabOptions { durability: plan.durability, mesh: Mesh::Off, ..LabOptions::default() };
    let sites = Sites::up(root, "idle", &options).await?;
    eprintln!("six servers are up; nobody writes for {} s", plan.seconds);
    tokio::time::sleep(SETTLE).await;
    let before = sites.hosts().iter().map(Meter::read).collect::<anyhow::Result<Vec<_>>>()?;
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(plan.seconds.into())).await;
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    let after = sites.hosts().iter().map(Meter::read).collect::<anyhow::Result<Vec<_>>>()?;
    let primary = sites.look().await.primary.context("nobody is primary")?;
    for (host, (before, after)) in sites.hosts().iter().zip(before.iter().zip(&after)) {
        let role = if host.place() == primary { "primary" } else { "standby" };
        sheet.runs.push(Cost {
            server: host.place().to_string(),
            role: role.to_owned(),
            agent_cpu_seconds_a_minute: (after.agent.cpu_seconds - before.agent.cpu_seconds) / minutes,
            guard_cpu_seconds_a_minute: (after.guard.cpu_seconds - before.guard.cpu_seconds) / minutes,
            agent_memory_mib: after.agent.memory_mib,
            guard_memory_mib: after.guard.memory_mib,
            load: load()?,
        });
    }
    sheet.bars = ["primary", "standby"].iter().flat_map(|role| bars(&sheet.runs, role)).collect();
    plan.json.as_ref().map_or(Ok(()), |path| sheet.write(path))?;
    table(&sheet.runs).iter().chain(&bar_lines(&sheet.bars)).for_each(|line| println!("{line}"));
    Ok(())
}

impl Meter {
    fn read(host: &Host) -> anyhow::Result<Self> {
        let processes = host.processes()?;
        let reading = |part: Part| {
            let process = processes.iter().find(|process| process.part() == Some(part));
            let place = host.place();
            Reading::of(process.with_context(|| format!("no {part:?} runs on `{place}`"))?.pid)
        };
        Ok(Self { agent: reading(Part::Agent)?, guard: reading(Part::Guard)? })
    }
}

impl Reading {
    /// Reads it.
    pub fn of(pid: i32) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        Ok(Self {
            cpu_seconds: cpu_seconds(&stat).context("/proc/PID/stat has another form than expected")?,
            memory_mib: memory_mib(&status).context("/proc/PID/status has another form than expected")?,
        })
    }
}

/// User and system time: fields 14 and 15 of proc(5), counted after the name, which may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11).map_while(|field| field.parse::<u32>().ok());
    Some(f64::from(times.next()? + times.next()?) / TICKS_PER_SECOND)
}

fn memory_mib(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / KIB_PER_MIB)
}

/// The dearest server of a role.
fn bars(costs: &[Cost], role: &str) -> Vec<Bar> {
    let most = |figure: fn(&Cost) -> f64| {
        costs.iter().filter(|cost| cost.role == role).map(figure).fold(0.0, f64::max)
    };
    let cpu = most(|cost| cost.agent_cpu_seconds_a_minute + cost.guard_cpu_seconds_a_minute);
    let memory = most(|cost| cost.agent_memory_mib + cost.guard_memory_mib);
    vec![
        Bar::at_most(
            format!("{role}, agent and guard: processor seconds a minute"),
            cpu,
            CPU_SECONDS_A_MINUTE_MAX,
        ),
        Bar::at_most(format!("{role}, agent and guard: resident MiB"), memory, MEMORY_MIB_MAX),
    ]
}

fn table(costs: &[Cost]) -> Vec<String> {
    let head = format!(
        "  {:<13} {:<8} {:>12} {:>12} {:>10} {:>10}",
        "server", "role", "agent s/min", "guard s/min", "agent MiB", "guard MiB"
    );
    let line = |cost: &Cost| {
        format!(
            "  {:<13} {:<8} {:>12.2} {:>12.2} {:>10.1} {:>10.1}",
            cost.server,
            cost.role,
            cost.agent_cpu_seconds_a_minute,
            cost.guard_cpu_seconds_a_minute,
            cost.agent_memory_mib,
            cost.guard_memory_mib
        )
    };
    std::iter::once(head).chain(costs.iter().map(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 4 0 100 0 0";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds(""), None);
    }

    #[test]
    fn memory_is_that_which_is_resident() {
        assert_eq!(memory_mib("VmHWM:\t  9000 kB\nVmRSS:\t   2048 kB\n"), Some(2.0));
        assert_eq!(memory_mib("Name: x\n"), None);
    }
}
