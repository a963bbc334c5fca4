//! One drill: a whole cluster, clients that write, a fault, what came of it, and everything put right again.

use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::Timestamp;
use sb_lab::fault::{Part, Target};
use sb_lab::options::Scenario;
use sb_lab::place::{Place, members};
use sb_lab::recorder::{Access, Findings, Recorder, RecorderPlan, check};

use crate::cluster::{Cluster, Note};

/// Until every server follows the primary.
const WHOLE: Duration = Duration::from_secs(120);

/// Until clients write again.
const RECOVERY: Duration = Duration::from_secs(120);

/// Every drill begins with a primary here: the site with a second server, as in the deployment this is for.
const HOME: &str = "ravena";

/// Acknowledged writes before the fault, and after it by the new primary.
const WRITES_BEFORE: usize = 100;
const WRITES_AFTER: usize = 25;

/// Between two writes of one client. With two clients a silence is known to about 10 ms.
const WRITE_PAUSE: Duration = Duration::from_millis(18);

/// Between two looks at the clients' count.
const COUNT_AGAIN: Duration = Duration::from_millis(20);

/// What a drill has found.
#[derive(Debug)]
pub struct Measured {
    /// Primary before.
    pub old: Place,
    /// Primary afterwards.
    pub new: Place,
    /// The number of its primaryship.
    pub term: Option<u64>,
    /// The longest silence; nothing when writes never came back.
    pub gap: Option<Duration>,
    /// From the fault to the old primary's last answer, where it was only cut off.
    pub isolated_answer: Option<Duration>,
    /// From the end of the fault until every server followed.
    pub whole: Duration,
    /// Writes against the survivor.
    pub findings: Findings,
    /// What the journals say.
    pub notes: Vec<Note>,
}

/// Plays a scenario on a cluster that is up, and leaves it whole.
pub async fn play(cluster: &impl Cluster, scenario: Scenario) -> anyhow::Result<Measured> {
    let old = bring_home(cluster).await?;
    let recorder = begin_writing(cluster, old).await?;
    let (fault, fault_at) = (Instant::now(), Timestamp::now());
    go_wrong(cluster, scenario, old).await?;
    writes_come_back(cluster, scenario, old, &recorder).await?;
    let healed = Instant::now();
    cluster.put_right()?;
    let sight = cluster.until("every server followed the primary", WHOLE, |sight| sight.whole).await?;
    let whole = healed.elapsed();
    let new = sight.primary.context("a whole cluster has a primary")?;
    let ledger = tokio::task::spawn_blocking(|| recorder.finish()).await?;
    let rows = client(cluster, move |access| async move { access.read_rows(new).await }).await?;
    let isolated = (scenario == Scenario::Partition).then(|| ledger.last_acknowledgement_by(old)).flatten();
    Ok(Measured {
        old,
        new,
        term: sight.term,
        gap: ledger.write_gap(fault),
        isolated_answer: isolated.map(|last| last.saturating_duration_since(fault)),
        whole,
        findings: check(&ledger, rows),
        notes: cluster.notes(fault_at).await,
    })
}

/// A whole cluster whose primary is at home.
async fn bring_home(cluster: &impl Cluster) -> anyhow::Result<Place> {
    let primary = cluster.whole(WHOLE).await?;
    if primary.site() == HOME {
        return Ok(primary);
    }
    let home = members(HOME)[0];
    cluster.switchover(primary, home).await?;
    let there = |sight: &crate::cluster::Sight| sight.whole && sight.primary == Some(home);
    cluster.until(&format!("`{home}` was primary and all followed it"), WHOLE, there).await?;
    Ok(home)
}

async fn begin_writing(cluster: &impl Cluster, primary: Place) -> anyhow::Result<Recorder> {
    client(cluster, move |access| async move { access.create_table(primary).await }).await?;
    let plan = RecorderPlan { pause: WRITE_PAUSE, ..RecorderPlan::office() };
    let recorder = Recorder::start(cluster.network(), cluster.access(), plan)?;
    acknowledged(&recorder, WRITES_BEFORE).await?;
    Ok(recorder)
}

async fn go_wrong(cluster: &impl Cluster, scenario: Scenario, primary: Place) -> anyhow::Result<()> {
    let site = Target::site_of(primary);
    match scenario {
        Scenario::HostLoss => cluster.kill(primary, Part::Host),
        Scenario::SiteLoss => site.places().iter().try_for_each(|place| cluster.kill(*place, Part::Host)),
        Scenario::PostgresCrash => cluster.kill(primary, Part::Postgres),
        Scenario::Partition => {
            cluster.network().links().isolate(site.places());
            Ok(())
        }
        Scenario::Switchover => {
            let neighbour = site.places().iter().find(|place| **place != primary);
            cluster.switchover(primary, *neighbour.context("no other server at this site")?).await
        }
    }
}

/// Waits until another server is primary, or the same again after a crash, and clients write to it.
async fn writes_come_back(
    cluster: &impl Cluster,
    scenario: Scenario,
    old: Place,
    recorder: &Recorder,
) -> anyhow::Result<()> {
    let moves = scenario != Scenario::PostgresCrash;
    let there = |sight: &crate::cluster::Sight| sight.primary.is_some_and(|now| !moves || now != old);
    cluster.until("there was a primary again", RECOVERY, there).await?;
    acknowledged(recorder, WRITES_AFTER).await
}

/// Waits until so many more writes are acknowledged.
async fn acknowledged(recorder: &Recorder, more: usize) -> anyhow::Result<()> {
    let wanted = recorder.acknowledged() + more;
    let writing = async {
        while recorder.acknowledged() < wanted {
            tokio::time::sleep(COUNT_AGAIN).await;
        }
    };
    tokio::time::timeout(RECOVERY, writing).await.context("clients could not write")
}

/// A client's work in the office.
async fn client<T, W>(
    cluster: &impl Cluster,
    work: impl FnOnce(Access) -> W + Send + 'static,
) -> anyhow::Result<T>
where
    T: Send + 'static,
    W: Future<Output = Result<T, sb_lab::recorder::AccessError>>,
{
    let access = cluster.access();
    let answer = cluster.network().namespace(Place::OFFICE).run_async(move || work(access)).await?;
    Ok(answer?)
}
