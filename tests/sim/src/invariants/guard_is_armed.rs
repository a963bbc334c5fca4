use sb_failover::Request;

use super::{Happening, Invariant};
use crate::rng::MS;
use crate::world::World;

/// How long after its guard's deadline a primary's renewal may still be applied: it was on its way.
const ON_ITS_WAY_MS: u64 = 2_500;

/// R3: wherever PostgreSQL is writable, the guard holds a deadline of that term; and no lease is renewed under a guard
/// that takes no deadlines.
pub struct GuardIsArmed;

impl Invariant for GuardIsArmed {
    fn name(&self) -> &'static str {
        "guard_is_armed"
    }

    fn see(&mut self, world: &World, happening: &Happening) -> Result<(), String> {
        match happening {
            Happening::Acknowledged { server, term } | Happening::Opened { server, term } => {
                let armed = world.servers[*server].guard.armed;
                if armed.is_some_and(|a| a.term == *term) {
                    return Ok(());
                }
                Err(format!("s{server} is writable in term {term}, its guard holds {armed:?}"))
            }
            Happening::Committed { step } => see_renewal(world, *step),
            Happening::BecamePrimary { .. }
            | Happening::StartedTorn { .. }
            | Happening::Streamed { .. }
            | Happening::PromisedHolder { .. }
            | Happening::SettingChanged
            | Happening::Left { .. }
            | Happening::End => Ok(()),
        }
    }
}

fn see_renewal(world: &World, step: usize) -> Result<(), String> {
    let (Request::Renew { holder, .. }, Ok(())) = world.ledger.step(step - 1) else {
        return Ok(());
    };
    let s = &world.servers[crate::server::index(&holder)];
    let Some(armed) = s.guard.armed.filter(|_| s.is_primary() && s.suspended.is_none() && !s.overslept)
    else {
        return Ok(());
    };
    if s.clock.when(armed.fence_at) + ON_ITS_WAY_MS * MS > world.now {
        return Ok(());
    }
    Err(format!("the lease of {holder} is renewed, and its guard has held no deadline for a while"))
}
