use sb_failover::Term;

use super::{Happening, Invariant};
use crate::world::World;

/// R3: wherever PostgreSQL is writable, the guard holds a deadline of that term; and no renewal is proposed there when that
/// deadline has passed. One that was proposed before may be carried out long after: then it only makes others wait.
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
            Happening::Renews { server, term } => see_renewal(world, *server, *term),
            Happening::BecamePrimary { .. }
            | Happening::Committed { .. }
            | Happening::StartedTorn { .. }
            | Happening::Streamed { .. }
            | Happening::PromisedHolder { .. }
            | Happening::SettingChanged
            | Happening::Left { .. }
            | Happening::End => Ok(()),
        }
    }
}

fn see_renewal(world: &World, server: usize, term: Term) -> Result<(), String> {
    let s = &world.servers[server];
    let (now, armed) = (s.boot_time(world.now), s.guard.armed);
    let kills_in_time = armed.is_some_and(|a| a.term == term && now < a.fence_at);
    if kills_in_time || !s.is_primary() {
        return Ok(());
    }
    Err(format!("s{server} renews its lease of term {term} at {now:?}, its guard holds {armed:?}"))
}
