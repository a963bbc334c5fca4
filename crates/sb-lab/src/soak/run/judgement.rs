//! The judgement of a run that was played.

use std::time::{Duration, Instant};

use sb_topology::FailoverPolicy;

use super::{LOOK_AGAIN, Run, SoakError, Soaked, Weather, primary};
use crate::options::Durability;
use crate::place::Place;
use crate::soak::check::{
    Losses, Reign, Thaw, Told, Verdict, check_accounts, check_bound, check_holders, check_leases,
    check_lineage, check_lists, check_register, check_repairs, check_reports, check_rows, check_succession,
    check_survivors, check_terms, read_lease_ms, read_promotions, read_reigns,
};
use crate::soak::history::{History, Outcome};
use crate::soak::journals;
use crate::soak::nemesis::Kind;
use crate::soak::report::{Happened, SoakReport, by_kind, gap};
use crate::soak::workload::{self, Contents};

/// Until every standby has replayed the last write.
const REPLAY_LIMIT: Duration = Duration::from_secs(60);

impl Run<'_> {
    pub(super) async fn judge(
        &mut self,
        durability: Durability,
        mut history: History,
    ) -> Result<Soaked, SoakError> {
        let end = self.clock.now();
        self.journals.gather(self.lab).await;
        let told = self.journals.told(self.clock);
        let reigns = read_reigns(&told);
        history.note_terms(|operation| {
            let mine = reigns.iter().rev().filter(|reign| reign.server == operation.server);
            mine.filter(|reign| reign.elected <= operation.ended).map(|reign| reign.term).next()
        });
        let (survivor, standbys) = self.survivors().await?;
        let (lost, strange, rows) = check_rows(&history, &survivor.rows);
        let thaws = self.thaws();
        let mut verdicts = vec![strange, check_terms(&reigns), check_holders(&history, &reigns, &thaws)];
        verdicts.push(check_leases(&history, &told, &thaws));
        let (timelines, promotions) = (journals::timelines(self.lab), read_promotions(&told));
        verdicts.push(check_lineage(&timelines, &promotions, &journals::record(self.lab).await));
        if let Some(standbys) = standbys {
            let kept = journals::kept(self.lab);
            verdicts.push(check_repairs(&told, &kept));
            verdicts.push(check_reports(&history, &survivor.rows, &kept));
            verdicts.push(check_survivors(&survivor, &standbys));
        }
        // An asynchronous cluster may lose the newest commits, and with them what was seen of them.
        if durability.survives_the_primary() {
            let opened: Vec<_> = reigns.iter().filter(|it| it.opened.is_some()).map(|it| it.term).collect();
            verdicts.push(check_succession(&timelines, &promotions, &opened));
            verdicts.push(lost);
            verdicts.push(check_accounts(&history, &survivor));
            verdicts.push(check_register(&history, survivor.register));
            verdicts.extend(check_lists(&history, &survivor.lists));
        } else {
            // The lab's policy names no other.
            let bound = FailoverPolicy::default().lag_bound_bytes;
            verdicts.push(check_bound(&history, &survivor.rows, (&reigns, &told), bound));
        }
        let report = self.report(durability, &history, (&reigns, &told), (verdicts, rows), end);
        Ok(Soaked { report, history, told })
    }

    fn thaws(&self) -> Vec<Thaw> {
        let frozen = self.faults.iter().filter(|fault| fault.draw.kind == Kind::FreezeHost);
        frozen.map(|fault| Thaw { server: fault.victim, from: fault.began, at: fault.ended }).collect()
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

    /// Everything that a server holds. The last fault may have been its PostgreSQL's, which is being started again.
    async fn read(&self, place: Place) -> Result<Contents, SoakError> {
        let began = Instant::now();
        loop {
            let reading = move |access| async move { workload::read(&access, place).await };
            match self.lab.client(Place::OFFICE, reading).await? {
                Err(_) if began.elapsed() < REPLAY_LIMIT => tokio::time::sleep(LOOK_AGAIN).await,
                read => return Ok(read?),
            }
        }
    }

    fn report(
        &self,
        durability: Durability,
        history: &History,
        (reigns, told): (&[Reign], &[Told]),
        (verdicts, rows): (Vec<Verdict>, Losses),
        end: Duration,
    ) -> SoakReport {
        let times = history.acknowledgements();
        let until = |storm: usize| {
            let next = self.faults.iter().filter(|fault| fault.storm > storm).map(|fault| fault.began).min();
            next.unwrap_or(end)
        };
        let happened = self.faults.iter().map(|fault| Happened {
            kind: fault.draw.kind,
            victim: fault.victim,
            primary: if fault.was_primary { "primary" } else { "standby" },
            at_seconds: rounded(fault.began),
            lasted_seconds: rounded(fault.ended - fault.began),
            lease_ms: read_lease_ms(told, reigns, fault.began),
            gap_seconds: rounded(gap(&times, fault.began, until(fault.storm))),
        });
        let faults: Vec<_> = happened.collect();
        let mut kinds = by_kind(&faults);
        if self.plan.weather == Weather::Storms {
            // No silence belongs to one fault, so the bar of one host is not asked for.
            kinds.values_mut().for_each(|kind| kind.within_5_seconds = None);
        }
        let unknown = |outcome: &Outcome| matches!(outcome, Outcome::Info(_));
        SoakReport {
            seed: self.plan.seed,
            minutes: end.as_secs_f64() / 60.0,
            every_seconds: self.plan.every.as_secs(),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
            durability: durability.as_str(),
            overlapping: self.plan.weather == Weather::Storms,
            load: load(),
            operations: history.operations().len(),
            acknowledged_writes: times.len(),
            unknown: history.operations().iter().filter(|it| unknown(&it.outcome)).count(),
            rows,
            wall_clock_drift_ms: self.clock.drift().as_millis(),
            kinds,
            faults,
            verdicts,
            ended_early: self.ended_early.clone(),
        }
    }
}

fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000.0).round() / 1_000.0
}

/// The machine's load over one minute; 0 where it cannot be read.
fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default()
}
