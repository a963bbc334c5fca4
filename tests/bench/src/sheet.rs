//! The file that a measurement leaves: a contract with whoever reads it.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// What one `./run bench NAME` has found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sheet<R> {
    /// Name of the measurement.
    pub bench: String,
    /// Where it was made.
    pub machine: Machine,
    /// Every run.
    pub runs: Vec<R>,
    /// What was hoped for, beside what was found.
    pub bars: Vec<Bar>,
}

/// One figure with its limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// What it is, with its unit.
    pub name: String,
    /// What was found.
    pub value: f64,
    /// The most that is good, or the least, as the name says.
    pub limit: f64,
    /// Whether it is.
    pub ok: bool,
}

impl Bar {
    /// A figure that must not exceed its limit.
    pub fn at_most(name: String, value: f64, limit: f64) -> Self {
        Self { name, value, limit, ok: value <= limit }
    }

    /// A figure that must reach its limit.
    pub fn at_least(name: String, value: f64, limit: f64) -> Self {
        Self { name, value, limit, ok: value >= limit }
    }
}

impl<R: Serialize + DeserializeOwned> Sheet<R> {
    /// An empty sheet of this machine.
    pub fn new(bench: &str) -> anyhow::Result<Self> {
        Ok(Self { bench: bench.to_owned(), machine: Machine::look()?, runs: Vec::new(), bars: Vec::new() })
    }

    /// The sheet that a file holds; an empty one when there is no file.
    pub fn resume(bench: &str, path: &Path) -> anyhow::Result<Self> {
        if !path.exists() {
            return Self::new(bench);
        }
        let text = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let sheet: Self = serde_json::from_slice(&text)
            .with_context(|| format!("`{}` is no result of this measurement", path.display()))?;
        anyhow::ensure!(sheet.bench == bench, "`{}` is of the bench `{}`", path.display(), sheet.bench);
        Ok(sheet)
    }

    /// Replaces the file as a whole, so that an interrupted measurement leaves a whole one.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        let draft = path.with_extension("json.new");
        fs::write(&draft, text)
            .and_then(|()| fs::rename(&draft, path))
            .with_context(|| format!("cannot write `{}`", path.display()))
    }
}

/// The bars as lines of a table.
pub fn bar_lines(bars: &[Bar]) -> Vec<String> {
    let line = |bar: &Bar| {
        let word = if bar.ok { "holds" } else { "MISSED" };
        format!("  {:<66} {:>9.3} {:>9.3}  {word}", bar.name, bar.value, bar.limit)
    };
    let head = format!("  {:<66} {:>9} {:>9}", "bar", "measured", "limit");
    std::iter::once(head).chain(bars.iter().map(line)).collect()
}
