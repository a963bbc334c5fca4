use sb_failover::Term;

use super::{Happening, Invariant};
use crate::world::World;

/// R1: at most one server acknowledges writes, and never one of an older term after one of a newer.
#[derive(Default)]
pub struct OneWriter {
    newest: Term,
}

impl Invariant for OneWriter {
    fn name(&self) -> &'static str {
        "one_writer"
    }

    fn see(&mut self, world: &World, happening: &Happening) -> Result<(), String> {
        let Happening::Acknowledged { server, term } = happening else {
            return Ok(());
        };
        if *term < self.newest {
            return Err(format!("s{server} acknowledged in term {term} after term {}", self.newest));
        }
        self.newest = *term;
        let open = |s: usize| {
            let other = &world.servers[s];
            other.is_primary() && other.postgres.clients && world.is_heard(s) && !other.stood_still(world.now)
        };
        let other = (0..world.servers.len()).find(|s| s != server && open(*s));
        other.map_or(Ok(()), |other| Err(format!("s{server} acknowledged while s{other} was writable")))
    }
}
