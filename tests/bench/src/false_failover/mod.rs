//! `./run bench false-failover`: how often a primary is given up although nothing is wrong with it.

mod run;
mod trouble;

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sb_lab::options::{Equipment, Failsafe, LabOptions, Mesh};
use sb_lab::place::Place;
use sb_lab::recorder::{Access, AccessError, Recorder, RecorderPlan, check};

use crate::arguments::{Condition, FalseFailoverPlan, asked};
use crate::cluster::Cluster;
use crate::machine::load;
use crate::sheet::{Sheet, bar_lines};
use crate::sites::Sites;
use run::{Measured, Run};

/// The name in the file.
const BENCH: &str = "false-failover";

/// Until every server follows the primary again when the trouble is over.
const WHOLE: Duration = Duration::from_secs(180);

/// What the founding of a cluster leaves to be done is over by then, and clients write.
const SETTLE: Duration = Duration::from_secs(5);

/// Measures every condition that is asked for and not in the file yet, each on a cluster of its own.
pub async fn measure(plan: &FalseFailoverPlan, root: &Path) -> anyhow::Result<()> {
    let mut sheet = match &plan.json {
        Some(path) if plan.resume => Sheet::resume(BENCH, path)?,
        _ => Sheet::<Run>::new(BENCH)?,
    };
    // Better to know now than after ten minutes that the file cannot be written.
    plan.json.as_ref().map_or(Ok(()), |path| sheet.write(path))?;
    for condition in asked(&plan.condition, &Condition::ALL) {
        if sheet.runs.iter().any(|run| run.is_of(condition, plan)) {
            continue;
        }
        let measured = measure_condition(plan, condition, root).await;
        let run = Run::new(condition, plan, measured, load()?);
        eprintln!("  {}", run.line());
        sheet.runs.push(run);
        sheet.bars = sheet.runs.iter().filter_map(Run::bar).collect();
        plan.json.as_ref().map_or(Ok(()), |path| sheet.write(path))?;
    }
    sheet.runs.iter().map(Run::line).chain(bar_lines(&sheet.bars)).for_each(|line| println!("{line}"));
    Ok(())
}

async fn measure_condition(
    plan: &FalseFailoverPlan,
    condition: Condition,
    root: &Path,
) -> anyhow::Result<Measured> {
    let word = condition.as_str();
    eprintln!("six servers at five sites come up: {word}");
    let failsafe = if condition == Condition::Stall5sFailsafe { Failsafe::On } else { Failsafe::Off };
    let options = LabOptions {
        durability: plan.durability,
        failsafe,
        equipment: Equipment::Disks,
        mesh: Mesh::Off,
        ..LabOptions::default()
    };
    let sites = Sites::up(root, word, &options).await?;
    let measured = watch(&sites, condition, Duration::from_secs(60 * u64::from(plan.minutes))).await;
    if measured.as_ref().map_or(true, |measured| measured.demotions() > 0) {
        eprintln!("  logs: {}", sites.keep_logs(word)?.display());
    }
    measured
}

/// Clients write, the trouble goes on, everything is put right.
async fn watch(sites: &Sites, condition: Condition, time: Duration) -> anyhow::Result<Measured> {
    let primary = sites.whole(WHOLE).await?;
    client(sites, move |access| async move { access.create_table(primary).await }).await?;
    let recorder = Recorder::start(sites.network(), sites.access(), RecorderPlan::office())?;
    tokio::time::sleep(SETTLE).await;
    let (began, began_at) = (Instant::now(), Timestamp::now());
    let term = sites.look().await.term;
    trouble::make(sites, condition, began + time).await?;
    sites.put_right()?;
    sites.whole(WHOLE).await?;
    let notes = sites.notes(began_at).await;
    let sight = sites.look().await;
    let ledger = tokio::task::spawn_blocking(|| recorder.finish()).await?;
    let last = sight.primary.unwrap_or(primary);
    let rows = client(sites, move |access| async move { access.read_rows(last).await }).await?;
    let gap = ledger.write_gap(began);
    let terms = sight.term.zip(term).map_or(0, |(last, first)| last.saturating_sub(first));
    Ok(Measured { notes, terms, gap, findings: check(&ledger, rows) })
}

/// A client's work in the office.
async fn client<T, W>(sites: &Sites, work: impl FnOnce(Access) -> W + Send + 'static) -> anyhow::Result<T>
where
    T: Send + 'static,
    W: Future<Output = Result<T, AccessError>>,
{
    let access = sites.access();
    let answer = sites.network().namespace(Place::OFFICE).run_async(move || work(access)).await?;
    Ok(answer?)
}
