use super::{Happening, Invariant};
use crate::world::World;

/// R4: while a standby's report is valid, nothing moves it: it takes nothing more from a primary of the term that it
/// promised against, nor of an older one.
pub struct PromisesAreKept;

impl Invariant for PromisesAreKept {
    fn name(&self) -> &'static str {
        "promises_are_kept"
    }

    fn see(&mut self, world: &World, happening: &Happening) -> Result<(), String> {
        let Happening::Streamed { standby, upstream } = happening else {
            return Ok(());
        };
        let record = world.ledger.newest();
        let name = &world.servers[*standby].name;
        let Some((_, report)) = record.valid_reports().find(|(server, _)| *server == name) else {
            return Ok(());
        };
        let source = &world.servers[*upstream].postgres;
        // A cascade has no term of its own; whatever comes through it came from a primary first.
        if source.role == sb_failover::Role::Primary && source.term <= report.term {
            return Err(format!(
                "s{standby} has reported against term {} and took from s{upstream} of term {}",
                report.term, source.term
            ));
        }
        Ok(())
    }
}
