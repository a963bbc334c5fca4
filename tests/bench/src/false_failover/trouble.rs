//! The troubles, for as long as they are to last.

use std::time::{Duration, Instant};

use anyhow::Context;
use sb_lab::fault::{LossPercent, Part};
use sb_lab::host::Host;
use sb_lab::place::Place;
use tokio::time::sleep;

use crate::arguments::Condition;
use crate::cluster::Cluster;
use crate::sites::Sites;

/// Packets lost between sites, each way.
const LOSS_PERCENT: u8 = 30;

/// How long the store hangs, in milliseconds, one after the other and again from the beginning. The lease of the
/// default policy is 3,500 ms; the guard acts 500 ms before it ends, and the last renewal may be 500 ms old.
const SHORT_STALLS_MS: [u64; 7] = [500, 1_000, 1_500, 2_000, 2_400, 3_000, 3_400];

/// From the end of a short stall to the next.
const BETWEEN_SHORT_STALLS: Duration = Duration::from_secs(6);

/// A stall that outlasts the lease, and from the beginning of one to the next.
const LONG_STALL: Duration = Duration::from_secs(5);
const LONG_STALL_EVERY: Duration = Duration::from_secs(30);

/// How long agents are away, and how long all are there then.
const AWAY: Duration = Duration::from_secs(45);
const THERE: Duration = Duration::from_secs(15);

/// Makes it until then.
pub async fn make(sites: &Sites, condition: Condition, until: Instant) -> anyhow::Result<()> {
    match condition {
        Condition::Loss30 => {
            sites.network().links().lose(LossPercent::try_from(LOSS_PERCENT)?);
            pass(until.saturating_duration_since(Instant::now()), until).await;
        }
        Condition::StallShort => {
            for stall in SHORT_STALLS_MS.iter().cycle().map(|ms| Duration::from_millis(*ms)) {
                hang_store(sites, stall)?;
                if !pass(stall + BETWEEN_SHORT_STALLS, until).await {
                    break;
                }
            }
        }
        Condition::Stall5sFailsafe => {
            hang_store(sites, LONG_STALL)?;
            while pass(LONG_STALL_EVERY, until).await {
                hang_store(sites, LONG_STALL)?;
            }
        }
        Condition::OneAgentDown => take_turns(sites, 1, until).await?,
        Condition::TwoAgentsDown => take_turns(sites, 2, until).await?,
    }
    Ok(())
}

/// Waits so long, and not beyond `until`; whether that is still ahead.
async fn pass(time: Duration, until: Instant) -> bool {
    sleep(time.min(until.saturating_duration_since(Instant::now()))).await;
    Instant::now() < until
}

/// On every server at once; all but the store goes on.
fn hang_store(sites: &Sites, time: Duration) -> anyhow::Result<()> {
    for host in sites.hosts() {
        let trouble = host.trouble().context("the lab was built without disks")?;
        trouble.brake.hang_store(time);
    }
    Ok(())
}

/// The agents of the voters at other sites than the primary's go away, so many at a time.
async fn take_turns(sites: &Sites, at_a_time: usize, until: Instant) -> anyhow::Result<()> {
    for turn in 0.. {
        let primary = sites.look().await.primary.context("nobody is primary")?;
        let others: Vec<Place> = Place::servers().filter(|place| place.site() != primary.site()).collect();
        let away: Vec<&Host> = (0..at_a_time)
            .map(|offset| sites.host(others[(turn + offset) % others.len()]))
            .collect::<anyhow::Result<_>>()?;
        for host in &away {
            host.take_away(Part::Agent)?;
        }
        let more = pass(AWAY, until).await;
        away.iter().for_each(|host| host.switch_on());
        if !more || !pass(THERE, until).await {
            break;
        }
    }
    Ok(())
}
