//! Plays a run on a lab.

use std::path::Path;
use std::time::{Duration, Instant};

use super::check::{
    self, Verdict, check_accounts, check_holders, check_lineage, check_lists, check_register, check_repairs,
    check_rows, check_survivors, check_terms, read_promotions, read_reigns,
};
use super::history::{History, Outcome, RunClock};
use super::journals;
use super::nemesis::{Draw, Kind, Nemesis, Victim};
use super::report::{Happened, SoakReport, by_kind, gap};
use super::workload::{self, Contents, Workload};
use crate::lab::{Lab, LabError};
use crate::options::{Durability, LabOptions};
use crate::picture::Picture;
use crate::place::Place;
use crate::recorder::AccessError;

/// Until all sites are up.
const UP_LIMIT: Duration = Duration::from_secs(180);

/// Until every server follows the primary again after a fault.
const WHOLE_LIMIT: Duration = Duration::from_secs(150);

/// Until every standby has replayed the last write.
const REPLAY_LIMIT: Duration = Duration::from_secs(60);

/// Between two looks at the cluster.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// What a run consists of.
#[derive(Debug, Clone, Copy)]
pub struct SoakPlan {
    /// How long faults go on.
    pub time: Duration,
    /// From the beginning of one fault to that of the next, at least: the cluster has to be whole before.
    pub every: Duration,
    /// Where faults and clients' questions come from.
    pub seed: u64,
    /// How many clients there are.
    pub clients: u32,
}

/// A run that was played to its end, or until the cluster did not come back.
#[derive(Debug)]
pub struct Soaked {
    /// The numbers and the verdicts.
    pub report: SoakReport,
    /// All that the clients asked.
    pub history: History,
}

impl Soaked {
    /// Writes the history as lines of JSON, and beside it with the ending `edn` as Jepsen has it.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_history(&self, path: &Path) -> std::io::Result<()> {
        self.history.write(path)?;
        self.history.write_edn(&path.with_extension("edn"))
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

/// A fault while it is under way.
struct Fault {
    draw: Draw,
    victim: Place,
    was_primary: bool,
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
    let mut run = Run { lab, plan, clock: RunClock::start(), say, faults: Vec::new(), ended_early: None };
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
    ended_early: Option<String>,
}

impl Run<'_> {
    fn tell(&mut self, line: &str) {
        (self.say)(&format!("{:8.1} s {line}", self.clock.now().as_secs_f64()));
    }

    async fn go_wrong(&mut self, workload: &Workload) -> Result<(), SoakError> {
        let mut nemesis = Nemesis::new(self.plan.seed);
        let mut next = Duration::from_secs(5);
        while self.clock.now() < self.plan.time {
            tokio::time::sleep(next.saturating_sub(self.clock.now())).await;
            next = self.clock.now() + self.plan.every;
            self.one_fault(nemesis.draw()).await?;
            let began = Instant::now();
            if !whole(self.lab, WHOLE_LIMIT).await {
                let table = crate::demo::table(&Picture::take(self.lab).await).join("\n");
                self.tell(&format!("not whole after {WHOLE_LIMIT:?}\n{table}"));
                let what =
                    format!("the cluster was not whole {WHOLE_LIMIT:?} after the last fault had ended");
                self.ended_early = Some(what);
                return Ok(());
            }
            let (seconds, written) = (began.elapsed().as_secs_f64(), workload.acknowledged());
            self.tell(&format!("  whole again after {seconds:.1} s; {written} writes acknowledged"));
        }
        Ok(())
    }

    /// Lets one fault begin, last and end.
    async fn one_fault(&mut self, draw: Draw) -> Result<(), SoakError> {
        let Some(primary) = primary(self.lab).await else { return Ok(()) };
        let victim = match (draw.kind, draw.victim) {
            (Kind::Switchover, _) | (_, Victim::Primary) => primary,
            (Kind::KillStoreLeader, _) => store_leader(self.lab).await.unwrap_or(primary),
            (_, Victim::Server(place)) => place,
        };
        let began = self.clock.now();
        let word = if victim == primary { " (primary)" } else { "" };
        let lasts = draw.kind.end(victim).map_or(Duration::ZERO, |_| draw.lasts);
        let number = self.faults.len() + 1;
        self.tell(&format!("{number:>3} {} `{victim}`{word} for {:.1} s", draw.kind, lasts.as_secs_f64()));
        if draw.kind == Kind::Switchover
            && let Err(error) = self.lab.agents().switchover(primary, None).await
        {
            self.tell(&format!("    the switchover was refused: {error}"));
        }
        for fault in draw.kind.begin(victim, &draw) {
            match self.lab.apply(&fault) {
                // A part that is being started again is a moment's matter.
                Err(LabError::NothingThere { .. }) => self.tell("    there was nothing to do it to"),
                other => other?,
            }
        }
        tokio::time::sleep(lasts).await;
        if let Some(end) = draw.kind.end(victim) {
            self.lab.apply(&end)?;
        }
        let ended = self.clock.now();
        self.faults.push(Fault { draw, victim, was_primary: victim == primary, began, ended });
        Ok(())
    }

    async fn judge(&mut self, durability: Durability, mut history: History) -> Result<Soaked, SoakError> {
        let end = self.clock.now();
        let told = journals::collect(self.lab, self.clock).await;
        let reigns = read_reigns(&told);
        history.note_terms(|operation| {
            let mine = reigns.iter().rev().filter(|reign| reign.server == operation.server);
            mine.filter(|reign| reign.elected <= operation.ended).map(|reign| reign.term).next()
        });
        let (survivor, standbys) = self.survivors().await?;
        let (lost, strange, rows) = check_rows(&history, &survivor.rows);
        let mut verdicts = vec![strange, check_terms(&reigns), check_holders(&history, &reigns)];
        verdicts.push(check_lineage(&journals::timelines(self.lab), &read_promotions(&told)));
        if let Some(standbys) = standbys {
            verdicts.push(check_repairs(&told, &journals::kept(self.lab)));
            verdicts.push(check_survivors(&survivor, &standbys));
        }
        // An asynchronous cluster may lose the newest commits, and with them what was seen of them.
        if durability.survives_the_primary() {
            verdicts.push(lost);
            verdicts.push(check_accounts(&history, &survivor));
            verdicts.push(check_register(&history, survivor.register));
            verdicts.extend(check_lists(&history, &survivor.lists));
        }
        let report = self.report(durability, &history, verdicts, rows, end);
        Ok(Soaked { report, history })
    }

    /// What the primary holds, and all others once they have replayed it. Without a whole cluster only the former.
    async fn survivors(&mut self) -> Result<(Contents, Option<Vec<(Place, Contents)>>), SoakError> {
        let began = Instant::now();
        let primary = loop {
            match primary(self.lab).await {
                Some(primary) => break primary,
                None if began.elapsed() > REPLAY_LIMIT => {
                    return Err(SoakError::NotUp { limit: REPLAY_LIMIT });
                }
                None => tokio::time::sleep(LOOK_AGAIN).await,
            }
        };
        let survivor = self.read(primary).await?;
        if self.ended_early.is_some() {
            return Ok((survivor, None));
        }
        let mut standbys = Vec::new();
        for place in Place::servers().filter(|place| *place != primary) {
            let began = Instant::now();
            let mut contents = self.read(place).await?;
            while contents != survivor && began.elapsed() < REPLAY_LIMIT {
                tokio::time::sleep(LOOK_AGAIN).await;
                contents = self.read(place).await?;
            }
            standbys.push((place, contents));
        }
        Ok((survivor, Some(standbys)))
    }

    async fn read(&self, place: Place) -> Result<Contents, SoakError> {
        let reading = move |access| async move { workload::read(&access, place).await };
        Ok(self.lab.client(Place::OFFICE, reading).await??)
    }

    fn report(
        &self,
        durability: Durability,
        history: &History,
        verdicts: Vec<Verdict>,
        rows: check::Losses,
        end: Duration,
    ) -> SoakReport {
        let times = history.acknowledgements();
        let untils = self.faults.iter().skip(1).map(|fault| fault.began).chain([end]);
        let happened = self.faults.iter().zip(untils).map(|(fault, until)| Happened {
            kind: fault.draw.kind,
            victim: fault.victim,
            primary: if fault.was_primary { "primary" } else { "standby" },
            at_seconds: rounded(fault.began),
            lasted_seconds: rounded(fault.ended - fault.began),
            gap_seconds: rounded(gap(&times, fault.began, until)),
        });
        let faults: Vec<_> = happened.collect();
        let unknown = |outcome: &Outcome| matches!(outcome, Outcome::Info(_));
        SoakReport {
            seed: self.plan.seed,
            minutes: end.as_secs_f64() / 60.0,
            durability: durability.as_str(),
            load: load(),
            operations: history.operations().len(),
            acknowledged_writes: times.len(),
            unknown: history.operations().iter().filter(|it| unknown(&it.outcome)).count(),
            rows,
            wall_clock_drift_ms: self.clock.drift().as_millis(),
            kinds: by_kind(&faults),
            faults,
            verdicts,
            ended_early: self.ended_early.clone(),
        }
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

async fn store_leader(lab: &Lab) -> Option<Place> {
    let picture = Picture::take(lab).await;
    let leads = |role| role == sb_api::StoreRole::Leader;
    let leader = picture.servers.iter().find(|it| it.status.as_ref().is_some_and(|it| leads(it.store_role)));
    leader.map(|server| server.place)
}

fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000.0).round() / 1_000.0
}

/// The machine's load over one minute; 0 where it cannot be read.
fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default()
}
