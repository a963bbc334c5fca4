use super::{Happening, Invariant};
use crate::world::World;

/// R3: when a server becomes primary, no other is, and its own end is armed.
pub struct FencedBeforePromote;

impl Invariant for FencedBeforePromote {
    fn name(&self) -> &'static str {
        "fenced_before_promote"
    }

    fn see(&mut self, world: &World, happening: &Happening) -> Result<(), String> {
        let Happening::BecamePrimary { server, term } = happening else {
            return Ok(());
        };
        if world.servers[*server].stood_still(world.now) {
            return Ok(());
        }
        if let Some(other) = (0..world.servers.len()).find(|s| {
            s != server && {
                let other = &world.servers[*s];
                other.is_primary() && !other.stood_still(world.now)
            }
        }) {
            return Err(format!("s{server} became primary of term {term} while s{other} still was"));
        }
        let armed = world.servers[*server].guard.armed;
        if armed.is_some_and(|a| a.term == *term) {
            Ok(())
        } else {
            Err(format!("s{server} became primary of term {term}, its guard holds {armed:?}"))
        }
    }
}
