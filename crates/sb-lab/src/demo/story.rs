//! The story itself, scene by scene.

use std::time::{Duration, Instant};

use super::mesh;
use super::report::{Report, rounded_seconds, word};
use super::watch::{StoryError, Watch};
use super::{Limits, Screen};
use crate::fault::{Fault, Part, Target};
use crate::lab::Lab;
use crate::options::{LabOptions, Scenario};
use crate::place::{Place, SERVERS_COUNT, members};
use crate::recorder::{Findings, Ledger, RecorderPlan, check};

/// Acknowledged writes before anything goes wrong: about three seconds of them.
const WRITES_BEFORE: usize = 150;

/// Acknowledged writes that prove that writing goes on.
const WRITES_AFTER: usize = 50;

/// What the story has shown.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The numbers.
    pub report: Report,
    /// The comparison behind them.
    pub findings: Findings,
    /// Whether the durability asked for was kept.
    pub kept: bool,
}

/// Plays a scenario on a lab whose servers are switched off.
///
/// # Errors
/// When something does not happen within its limit, or the lab itself fails.
pub async fn play(
    lab: &Lab,
    scenario: Scenario,
    options: &LabOptions,
    screen: &mut dyn Screen,
    limits: Limits,
) -> Result<Outcome, StoryError> {
    let title = format!("{scenario}, {} durability", options.durability);
    let mut story = Story { lab, scenario, limits, watch: Watch::new(lab, screen, title) };
    let old = story.come_up().await?;
    story.look_at_the_mesh(old).await?;
    story.begin_writing(old).await?;
    let fault = story.go_wrong(old).await?;
    let back = story.writes_come_back(old).await?;
    story.look_at_the_mesh(story.primary()).await?;
    let rejoined = story.come_home(old, fault).await?;
    let ledger = story.end_writing();
    let findings = story.compare(&ledger).await?;
    let gap = ledger.write_gap(fault).unwrap_or_else(|| back.duration_since(fault));
    let outcome = story.outcome(options, findings, gap, rejoined);
    Ok(outcome)
}

struct Story<'a> {
    lab: &'a Lab,
    scenario: Scenario,
    limits: Limits,
    watch: Watch<'a>,
}

impl Story<'_> {
    async fn come_up(&mut self) -> Result<Place, StoryError> {
        self.watch.say("six servers at five sites are switched on");
        self.lab.switch_on();
        let what = "a primary and five standbys were up";
        self.watch.until(what, self.limits.up, |picture, _| picture.whole()).await?;
        let primary = self.primary();
        self.watch.say(&format!("all sites are up; `{primary}` is primary"));
        self.watch.say_table();
        Ok(primary)
    }

    /// Where there is a mesh: its sessions, and that nobody else comes in.
    async fn look_at_the_mesh(&mut self, at: Place) -> Result<(), StoryError> {
        let Some(visit) = self.lab.visit_from_outside().await? else { return Ok(()) };
        let mesh = self.lab.agents().mesh(at).await?;
        self.watch.say(&mesh::headline(&mesh));
        self.watch.say_lines(mesh::table(&mesh));
        let refusal = mesh::refusal(&visit);
        self.watch.say(&refusal);
        if visit.answered.is_empty() { Ok(()) } else { Err(StoryError::Open { refusal }) }
    }

    async fn begin_writing(&mut self, primary: Place) -> Result<(), StoryError> {
        self.lab
            .client(Place::OFFICE, move |access| async move { access.create_table(primary).await })
            .await??;
        self.watch.hand_over(self.lab.record(RecorderPlan::office())?);
        self.watch.say("two clients in the office at Ravena write 50 rows a second");
        let limit = self.limits.recovery;
        self.watch.until("clients could write", limit, |_, written| written >= WRITES_BEFORE).await?;
        Ok(())
    }

    /// Lets it happen, and returns when it did.
    async fn go_wrong(&mut self, primary: Place) -> Result<Instant, StoryError> {
        let fault = self.watch.mark_fault();
        let site = || members(primary.site());
        match self.scenario {
            Scenario::HostLoss => self.break_it(&Fault::Kill(primary.into(), Part::Host))?,
            Scenario::SiteLoss => {
                for place in site() {
                    self.break_it(&Fault::Kill(place.into(), Part::Host))?;
                }
            }
            Scenario::PostgresCrash => self.break_it(&Fault::Kill(primary.into(), Part::Postgres))?,
            Scenario::Partition => self.break_it(&Fault::Isolate(Target::site_of(primary)))?,
            Scenario::Switchover => {
                self.watch.say(&format!("a person asks `{primary}` to hand over"));
                self.lab.agents().switchover(primary, None).await?;
            }
        }
        Ok(fault)
    }

    fn break_it(&mut self, fault: &Fault) -> Result<(), StoryError> {
        self.watch.say(&fault.to_string());
        Ok(self.lab.apply(fault)?)
    }

    async fn writes_come_back(&mut self, old: Place) -> Result<Instant, StoryError> {
        let moves = self.scenario != Scenario::PostgresCrash;
        let limit = self.limits.recovery;
        let mut written_then = None;
        let back = self
            .watch
            .until("writes were accepted again", limit, |picture, written| {
                let primary = picture.primary().map(|server| server.place);
                if primary.is_none() || (moves && primary == Some(old)) {
                    return false;
                }
                written >= *written_then.get_or_insert(written) + WRITES_AFTER
            })
            .await?;
        let primary = self.primary();
        self.watch.say(&format!("clients write to `{primary}` again"));
        self.watch.say_table();
        Ok(back)
    }

    /// What was lost returns; how long that took. Where nothing has to return, the time runs from the fault.
    async fn come_home(&mut self, old: Place, fault: Instant) -> Result<Duration, StoryError> {
        let returned = match self.scenario {
            Scenario::HostLoss | Scenario::SiteLoss | Scenario::Partition => Instant::now(),
            Scenario::PostgresCrash | Scenario::Switchover => fault,
        };
        match self.scenario {
            Scenario::HostLoss => self.break_it(&Fault::Return(old.into()))?,
            Scenario::SiteLoss => self.break_it(&Fault::Return(Target::site_of(old)))?,
            Scenario::Partition => self.break_it(&Fault::Heal)?,
            Scenario::PostgresCrash | Scenario::Switchover => {}
        }
        let what = "every server followed the primary";
        let home = self.watch.until(what, self.limits.rejoin, |picture, _| picture.whole()).await?;
        self.watch.say("every server follows the primary");
        self.watch.say_table();
        Ok(home.duration_since(returned))
    }

    fn end_writing(&mut self) -> Ledger {
        self.watch.take_recorder().map(crate::recorder::Recorder::finish).unwrap_or_default()
    }

    /// Reads every server: the primary for the numbers, the others so that "follows" is more than a word.
    async fn compare(&mut self, ledger: &Ledger) -> Result<Findings, StoryError> {
        let primary = self.primary();
        let findings = check(ledger, self.read(primary).await?);
        let wanted = findings.acknowledged - findings.lost.len();
        for place in Place::servers().filter(|place| *place != primary) {
            let began = Instant::now();
            while self.read(place).await.map_or(0, |rows| rows.len()) < wanted {
                if began.elapsed() > self.limits.replay {
                    let what = format!("`{place}` had what the primary has");
                    let seen = format!("`{place}` has fewer than {wanted} rows");
                    return Err(StoryError::TimedOut { what, limit: self.limits.replay, seen });
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        self.watch.say(&format!("all {SERVERS_COUNT} servers have the same rows"));
        Ok(findings)
    }

    async fn read(&self, place: Place) -> Result<Vec<crate::recorder::WriteId>, StoryError> {
        let reading =
            self.lab.client(Place::OFFICE, move |access| async move { access.read_rows(place).await });
        Ok(reading.await??)
    }

    fn outcome(
        &self,
        options: &LabOptions,
        findings: Findings,
        gap: Duration,
        rejoined: Duration,
    ) -> Outcome {
        let report = Report {
            scenario: word(self.scenario),
            servers: SERVERS_COUNT,
            acknowledged: findings.acknowledged,
            lost: findings.lost.len(),
            write_gap_seconds: rounded_seconds(gap),
            rejoin_seconds: rounded_seconds(rejoined),
            new_primary: self.primary().name().to_owned(),
            term: self.watch.picture().term().unwrap_or(0),
        };
        let may_lose = !self.scenario.forbids_loss_with(options.durability);
        let kept = findings.clean() || (may_lose && findings.invented_nothing());
        Outcome { report, findings, kept }
    }

    /// The primary of the last picture; scenes that need one have waited for it.
    fn primary(&self) -> Place {
        self.watch.picture().primary().map_or(Place::OFFICE, |server| server.place)
    }
}
