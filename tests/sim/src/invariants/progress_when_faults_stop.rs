use sb_failover::{Role, State};

use super::{Happening, Invariant};
use crate::rng::MS;
use crate::world::{HELPED_CALM_MS, World};

/// How long after the last fault writes come back: two leases of the longest sort and an election. Where a person has to help it
/// counts from then.
const WRITES_BACK_MS_MAX: u64 = 18_000;

/// When faults stop, even if a voter is lost for good, a primary takes writes again and everybody else follows it, without a person.
pub struct ProgressWhenFaultsStop;

impl Invariant for ProgressWhenFaultsStop {
    fn name(&self) -> &'static str {
        "progress_when_faults_stop"
    }

    fn see(&mut self, world: &World, happening: &Happening) -> Result<(), String> {
        let Happening::End = happening else {
            return Ok(());
        };
        let states =
            || world.servers.iter().map(|s| s.machine.state().to_string()).collect::<Vec<_>>().join(" ");
        let leading = world.servers.iter().position(|s| !s.lost && s.machine.state() == State::Leading);
        let Some(primary) = leading else {
            return Err(format!("nobody leads: {}", states()));
        };
        let since = world.calm_since.unwrap_or_default();
        // Whoever is named waits for those that have not reported.
        let helped = world.helped_out.map_or(0, |at| at + world.helped_ns() + HELPED_CALM_MS * MS);
        let latest = helped.max(since + WRITES_BACK_MS_MAX * MS);
        let first = world.confirmed.iter().map(|c| c.at).find(|at| *at > since);
        if first.is_none_or(|at| at > latest) {
            let back = first.map(|at| (at - since) / MS);
            return Err(format!("the first commit of the calm was confirmed after {back:?} ms"));
        }
        let recent = world.confirmed.last().is_some_and(|c| c.at + 1_000 * MS > world.now);
        if !recent {
            return Err(format!("no commit was confirmed in the last second: {}", states()));
        }
        let follows = |s: &crate::server::Server| {
            s.machine.state() == State::Following
                && s.postgres.role == Role::Standby
                && s.postgres.upstream == Some(primary)
                && s.postgres.log.len() + 20 > world.servers[primary].postgres.log.len()
        };
        let shall_follow = |s: &usize| !world.servers[*s].lost && world.profile.has_postgres(*s);
        let mut others = (0..world.servers.len()).filter(|s| *s != primary).filter(shall_follow);
        let lagging = others.find(|s| !follows(&world.servers[*s]));
        lagging.map_or(Ok(()), |s| Err(format!("s{s} does not follow s{primary}: {}", states())))
    }
}
