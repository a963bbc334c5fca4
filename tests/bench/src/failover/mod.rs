//! `./run bench failover`: how long clients cannot write after a fault, and what is lost.

mod drill;
mod run;
mod summary;

use std::path::Path;

use sb_lab::options::{Durability, LabOptions, Profile, Scenario};

use crate::arguments::{FailoverPlan, asked};
use crate::machine::load;
use crate::sheet::{Sheet, bar_lines};
use crate::sites::Sites;
use run::{OURS, Run, Setting};

/// The name in the file.
const BENCH: &str = "failover";

/// How often a cluster that could not be measured is built anew before the whole measurement is given up.
const REBUILDS_MAX: usize = 5;

/// Measures everything that is asked for and not in the file yet.
pub async fn measure(plan: &FailoverPlan, root: &Path) -> anyhow::Result<()> {
    let mut book = Book::open(plan)?;
    let mut rebuilds = 0;
    for durability in asked(&plan.durability, &[Durability::Async, Durability::Sync]) {
        for policy in asked(&plan.policy, &[Profile::Default, Profile::Fast]) {
            let setting = Setting { policy, durability };
            while book.missing(setting).is_some() {
                if let Err(error) = measure_setting(&mut book, setting, root, rebuilds).await {
                    eprintln!("{error:#}");
                    rebuilds += 1;
                    anyhow::ensure!(rebuilds <= REBUILDS_MAX, "given up after {rebuilds} clusters");
                }
            }
        }
    }
    book.print();
    Ok(())
}

/// One cluster for all runs of a setting. An error of a run is on record; the cluster is not to be used again.
async fn measure_setting(
    book: &mut Book<'_>,
    setting: Setting,
    root: &Path,
    rebuilds: usize,
) -> anyhow::Result<()> {
    eprintln!("six servers at five sites come up: {setting}");
    let options =
        LabOptions { durability: setting.durability, profile: setting.policy, ..LabOptions::default() };
    let sites = Sites::up(root, &format!("{}-{rebuilds}", setting.word()), &options).await?;
    while let Some(scenario) = book.missing(setting) {
        let measured = drill::play(&sites, scenario).await;
        let outcome = measured.as_ref().map(drop).map_err(|error| anyhow::anyhow!("{error:#}"));
        let run = Run::new(OURS, setting, scenario, measured, load()?);
        let too_long = run.write_gap_seconds.is_none_or(|gap| gap > summary::KEPT_BEYOND_SECONDS);
        if outcome.is_err() || too_long {
            eprintln!("  logs: {}", sites.keep_logs(&format!("{}-{scenario}", setting.word()))?.display());
        }
        book.enter(run)?;
        outcome?;
    }
    Ok(())
}

/// The runs so far, and the plan that says which are missing.
struct Book<'a> {
    plan: &'a FailoverPlan,
    sheet: Sheet<Run>,
}

impl<'a> Book<'a> {
    fn open(plan: &'a FailoverPlan) -> anyhow::Result<Self> {
        let sheet = match &plan.json {
            Some(path) if plan.resume => Sheet::resume(BENCH, path)?,
            _ => Sheet::new(BENCH)?,
        };
        let book = Self { plan, sheet };
        // Better to know now than after the first run that the file cannot be written.
        book.save()?;
        Ok(book)
    }

    /// The next scenario that has too few runs under this setting.
    fn missing(&self, setting: Setting) -> Option<Scenario> {
        let wanted = usize::from(self.plan.runs);
        asked(&self.plan.scenario, &Scenario::ALL).into_iter().find(|scenario| {
            self.sheet.runs.iter().filter(|run| run.is_of(OURS, setting, *scenario)).count() < wanted
        })
    }

    fn enter(&mut self, run: Run) -> anyhow::Result<()> {
        eprintln!("  {}", run.line());
        self.sheet.runs.push(run);
        self.sheet.bars = summary::bars(&self.sheet.runs);
        self.save()
    }

    fn save(&self) -> anyhow::Result<()> {
        self.plan.json.as_ref().map_or(Ok(()), |path| self.sheet.write(path))
    }

    fn print(&self) {
        summary::table(&self.sheet.runs).iter().chain(&bar_lines(&self.sheet.bars)).for_each(|line| {
            println!("{line}");
        });
    }
}
