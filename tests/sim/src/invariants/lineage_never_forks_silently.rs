use super::{Happening, Invariant};
use crate::world::World;

/// A standby's log is always the beginning of its upstream's; and what a server that diverged has beyond the
/// cluster's line is kept and reported before it goes (R8), so that no confirmed commit disappears in silence.
pub struct LineageNeverForksSilently;

impl Invariant for LineageNeverForksSilently {
    fn name(&self) -> &'static str {
        "lineage_never_forks_silently"
    }

    fn see(&mut self, world: &World, happening: &Happening) -> Result<(), String> {
        match happening {
            Happening::Streamed { standby, upstream } => see_stream(world, *standby, *upstream),
            Happening::End => see_end(world),
            Happening::Acknowledged { .. }
            | Happening::BecamePrimary { .. }
            | Happening::Committed { .. }
            | Happening::Opened { .. }
            | Happening::PromisedHolder { .. }
            | Happening::SettingChanged
            | Happening::Renews { .. }
            | Happening::Left { .. }
            | Happening::StartedTorn { .. } => Ok(()),
        }
    }
}

/// Records are never used twice, so two logs that agree at one place agree before it.
fn see_stream(world: &World, standby: usize, upstream: usize) -> Result<(), String> {
    let (own, theirs) = (&world.servers[standby].postgres.log, &world.servers[upstream].postgres.log);
    let end = own.len().min(theirs.len());
    if end == 0 || own[end - 1] == theirs[end - 1] {
        return Ok(());
    }
    Err(format!("s{standby} receives from s{upstream}, and record {end} is another one"))
}

/// Directories that were lost, and a server that never returns, take with them what they had.
fn see_end(world: &World) -> Result<(), String> {
    let primary = world.servers.iter().position(|s| s.is_primary() && s.postgres.clients);
    let Some(primary) = primary else {
        return Ok(());
    };
    let kept = |c: &&crate::world::Confirmed| {
        let lost_with = |s: &crate::server::Server| {
            s.lost && s.postgres.has(c.transaction)
                || s.buried.as_ref().is_some_and(|before| before.has(c.transaction))
        };
        world.servers[primary].postgres.has(c.transaction)
            || world.reported_lost.contains(&c.transaction)
            || world.servers.iter().any(lost_with)
    };
    match world.confirmed.iter().find(|c| !kept(c)) {
        None => Ok(()),
        Some(c) => Err(format!("commit {} of term {} is gone and was never reported", c.transaction, c.term)),
    }
}
