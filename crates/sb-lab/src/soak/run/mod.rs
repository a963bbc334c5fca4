//! Plays a run on a lab.

mod faults;
mod judgement;

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use super::check::Told;
use super::history::{History, RunClock};
use super::journals::Journals;
use super::nemesis::{Draw, Nemesis};
use super::report::SoakReport;
use super::workload::{self, Workload};
use crate::lab::{Lab, LabError};
use crate::options::LabOptions;
use crate::picture::Picture;
use crate::place::Place;
use crate::recorder::AccessError;

/// Until all sites are up.
const UP_LIMIT: Duration = Duration::from_secs(180);

/// Until every server follows the primary again after a fault.
const WHOLE_LIMIT: Duration = Duration::from_secs(150);

/// How long clients go on after the last fault.
const CALM: Duration = Duration::from_secs(5);

/// Between two looks at the cluster.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// What a run consists of.
#[derive(Debug, Clone, Copy)]
pub struct SoakPlan {
    /// How long faults go on.
    pub time: Duration,
    /// From the beginning of one fault, or one storm of them, to that of the next, at least: the cluster has to be
    /// whole before.
    pub every: Duration,
    /// Where faults and clients' questions come from.
    pub seed: u64,
    /// How many clients there are.
    pub clients: u32,
    /// How faults come.
    pub weather: Weather,
}

/// How faults come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// One at a time; the cluster is whole before the next.
    OneByOne,
    /// Two to four that overlap, then the cluster has to become whole.
    Storms,
}

/// A run that was played to its end, or until the cluster did not come back.
#[derive(Debug)]
pub struct Soaked {
    /// The numbers and the verdicts.
    pub report: SoakReport,
    /// All that the clients asked.
    pub history: History,
    /// All that the servers have written down.
    pub told: Vec<Told>,
}

impl Soaked {
    /// Writes the history as lines of JSON, beside it with the ending `edn` as Jepsen has it, and with the ending
    /// `journal.jsonl` what the servers' journals say, on the same clock.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_history(&self, path: &Path) -> std::io::Result<()> {
        self.history.write(path)?;
        self.history.write_edn(&path.with_extension("edn"))?;
        let mut journal =
            std::io::BufWriter::new(std::fs::File::create(path.with_extension("journal.jsonl"))?);
        let mut told: Vec<_> = self.told.iter().collect();
        told.sort_by_key(|entry| entry.at);
        for entry in told {
            serde_json::to_writer(&mut journal, entry)?;
            journal.write_all(b"\n")?;
        }
        journal.flush()
    }
}

/// A run could not be played.
#[derive(Debug, thiserror::Error)]
pub enum SoakError {
    /// The lab failed.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// A client could not work.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The system refused a thread.
    #[error("could not start a client")]
    Client(#[from] std::io::Error),
    /// The sites did not come up.
    #[error("not all sites were up after {limit:?}")]
    NotUp {
        /// How long was waited.
        limit: Duration,
    },
}

/// A fault that was.
struct Fault {
    draw: Draw,
    victim: Place,
    was_primary: bool,
    /// Which storm it belongs to.
    storm: usize,
    began: Duration,
    ended: Duration,
}

/// Plays a run on a lab whose servers are switched off. `say` is told what happens.
///
/// # Errors
/// When the run cannot be played. What the cluster does wrong is in the report.
pub async fn run(
    lab: &Lab,
    options: &LabOptions,
    plan: SoakPlan,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<Soaked, SoakError> {
    lab.switch_on();
    if !whole(lab, UP_LIMIT).await {
        return Err(SoakError::NotUp { limit: UP_LIMIT });
    }
    let primary = primary(lab).await.unwrap_or(Place::OFFICE);
    lab.client(Place::OFFICE, move |access| async move { workload::create(&access, primary).await })
        .await??;
    let clock = RunClock::start();
    let (faults, journals) = (Vec::new(), Journals::default());
    let mut run = Run { lab, plan, clock, say, faults, journals, ended_early: None };
    let workload = Workload::start(lab, plan.clients, plan.seed, run.clock)?;
    run.go_wrong(&workload).await?;
    run.tell(&format!("{} writes acknowledged; now the check", workload.acknowledged()));
    let history = tokio::task::block_in_place(|| workload.finish());
    run.judge(options.durability, history).await
}

struct Run<'a> {
    lab: &'a Lab,
    plan: SoakPlan,
    clock: RunClock,
    say: &'a mut (dyn FnMut(&str) + Send),
    faults: Vec<Fault>,
    journals: Journals,
    ended_early: Option<String>,
}

impl Run<'_> {
    fn tell(&mut self, line: &str) {
        (self.say)(&format!("{:8.1} s {line}", self.clock.now().as_secs_f64()));
    }

    async fn go_wrong(&mut self, workload: &Workload) -> Result<(), SoakError> {
        let mut nemesis = Nemesis::new(self.plan.seed, self.lab.store());
        let mut next = Duration::from_secs(5);
        let mut storm = 0;
        while self.clock.now() < self.plan.time {
            tokio::time::sleep(next.saturating_sub(self.clock.now())).await;
            next = self.clock.now() + self.plan.every;
            storm += 1;
            let blows = match self.plan.weather {
                Weather::OneByOne => nemesis.one(),
                Weather::Storms => nemesis.storm(),
            };
            self.blow(storm, blows).await?;
            if !self.becomes_whole(workload).await {
                return Ok(());
            }
        }
        // What the last fault does shows in the clients' history, as that of all others.
        tokio::time::sleep(CALM).await;
        self.becomes_whole(workload).await;
        Ok(())
    }

    async fn becomes_whole(&mut self, workload: &Workload) -> bool {
        let began = Instant::now();
        let whole = whole(self.lab, WHOLE_LIMIT).await;
        self.journals.gather(self.lab).await;
        if whole {
            let (seconds, written) = (began.elapsed().as_secs_f64(), workload.acknowledged());
            self.tell(&format!("  whole again after {seconds:.1} s; {written} writes acknowledged"));
        } else {
            let table = crate::demo::table(&Picture::take(self.lab).await).join("\n");
            self.tell(&format!("not whole after {WHOLE_LIMIT:?}\n{table}"));
            let what = format!("the cluster was not whole {WHOLE_LIMIT:?} after the last fault had ended");
            self.ended_early = Some(what);
        }
        whole
    }
}

async fn whole(lab: &Lab, limit: Duration) -> bool {
    let began = Instant::now();
    while !Picture::take(lab).await.whole() {
        if began.elapsed() > limit {
            return false;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    true
}

async fn primary(lab: &Lab) -> Option<Place> {
    Picture::take(lab).await.primary().map(|server| server.place)
}
