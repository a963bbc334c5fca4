//! Where a measurement was made: figures mean little without it.

use std::fs;

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// The machine, and how busy it was at the beginning.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// As the kernel names it.
    pub processor: String,
    /// How many of them there are.
    pub cores: usize,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Kernel's release.
    pub kernel: String,
    /// Load average of the last minute when the measurement began.
    pub load: f64,
    /// Whether the programs under test were built with optimisations.
    pub build: String,
}

impl Machine {
    /// Looks.
    pub fn look() -> anyhow::Result<Self> {
        let processors = fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
        let memory = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
        let kib: u64 = field(&memory, "MemTotal").split(' ').next().unwrap_or("").parse().unwrap_or(0);
        Ok(Self {
            processor: field(&processors, "model name").to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            memory_mib: kib / 1024,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            load: load()?,
            build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
        })
    }
}

/// Load average of the last minute.
pub fn load() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/loadavg").context("cannot read /proc/loadavg")?;
    text.split(' ').next().unwrap_or("").parse().context("/proc/loadavg has another form than expected")
}

/// The first value of a name in a file of `name : value` lines; empty when there is none.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let value = |line: &'a str| line.split_once(':').filter(|(key, _)| key.trim() == name);
    text.lines().find_map(value).map_or("", |(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "model\t\t: 85\nmodel name\t: Some CPU\nMemTotal:       24 kB\n";
        assert_eq!(field(text, "model name"), "Some CPU");
        assert_eq!(field(text, "MemTotal"), "24 kB");
        assert_eq!(field(text, "flags"), "");
    }
}
