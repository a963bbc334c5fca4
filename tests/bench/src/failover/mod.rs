//! `./run bench failover`: how long clients cannot write after a fault, and what is lost.

mod drill;
mod run;
mod summary;

use std::path::Path;

use sb_lab::options::{Durability, LabOptions, Mesh, Profile, Scenario};

use crate::arguments::{FailoverPlan, asked};
use crate::cluster::Cluster;
use crate::machine::load;
use crate::peer::{Patroni, Peer};
use crate::sheet::{Sheet, bar_lines};
use crate::sites::Sites;
pub use run::Setting;
use run::{OURS, Run};

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
            // One product at a time, so that each has the machine for itself.
            while book.missing(OURS, setting).is_some() {
                let outcome = measure_ours(&mut book, setting, root, rebuilds).await;
                count_failure(outcome, &mut rebuilds)?;
            }
            for peer in &plan.peer {
                while book.missing(peer.name(), setting).is_some() {
                    let outcome = measure_peer(&mut book, *peer, setting, root, rebuilds).await;
                    count_failure(outcome, &mut rebuilds)?;
                }
            }
        }
    }
    book.print();
    Ok(())
}

fn count_failure(outcome: anyhow::Result<()>, rebuilds: &mut usize) -> anyhow::Result<()> {
    if let Err(error) = outcome {
        eprintln!("{error:#}");
        *rebuilds += 1;
        anyhow::ensure!(*rebuilds <= REBUILDS_MAX, "given up after {rebuilds} clusters");
    }
    Ok(())
}

async fn measure_ours(
    book: &mut Book<'_>,
    setting: Setting,
    root: &Path,
    rebuilds: usize,
) -> anyhow::Result<()> {
    eprintln!("six servers at five sites come up: {setting}");
    let options = LabOptions {
        durability: setting.durability,
        profile: setting.policy,
        mesh: Mesh::Off,
        ..LabOptions::default()
    };
    let sites = Sites::up(root, &format!("{}-{rebuilds}", setting.word()), &options).await?;
    measure_setting(book, OURS, &sites, setting).await
}

async fn measure_peer(
    book: &mut Book<'_>,
    peer: Peer,
    setting: Setting,
    root: &Path,
    rebuilds: usize,
) -> anyhow::Result<()> {
    eprintln!("six servers at five sites come up with {}: {setting}", peer.name());
    let name = format!("{}-{rebuilds}", setting.word());
    match peer {
        Peer::Patroni => {
            let patroni = Patroni::up(root, &name, setting).await?;
            measure_setting(book, peer.name(), &patroni, setting).await
        }
    }
}

/// One cluster for all runs of a setting. An error of a run is on record; the cluster is not to be used again.
async fn measure_setting(
    book: &mut Book<'_>,
    product: &str,
    cluster: &impl Cluster,
    setting: Setting,
) -> anyhow::Result<()> {
    while let Some(scenario) = book.missing(product, setting) {
        let measured = drill::play(cluster, scenario).await;
        let outcome = measured.as_ref().map(drop).map_err(|error| anyhow::anyhow!("{error:#}"));
        let run = Run::new(product, setting, scenario, measured, load()?);
        let too_long = run.write_gap_seconds.is_none_or(|gap| gap > summary::KEPT_BEYOND_SECONDS);
        if outcome.is_err() || (too_long && product == OURS) {
            eprintln!("  logs: {}", cluster.keep_logs(&format!("{}-{scenario}", setting.word()))?.display());
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

    /// The next scenario that has too few runs of a product under this setting.
    fn missing(&self, product: &str, setting: Setting) -> Option<Scenario> {
        let wanted = usize::from(self.plan.runs);
        asked(&self.plan.scenario, &Scenario::ALL).into_iter().find(|scenario| {
            self.sheet.runs.iter().filter(|run| run.is_of(product, setting, *scenario)).count() < wanted
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
