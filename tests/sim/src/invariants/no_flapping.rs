use sb_failover::Term;

use super::{Happening, Invariant};
use crate::rng::MS;
use crate::world::World;

/// From how long after the last fault on the term stays as it is.
const SETTLED_AFTER_MS: u64 = 15_000;
/// How long after whoever a person has named may take over.
const NAMED_AFTER_MS: u64 = 2_000;
/// How many changes of term one fault may cause, on average over a schedule.
const TERMS_PER_FAULT_MAX: u64 = 2;

/// Changes of primary are bounded by what goes wrong, and end with it.
#[derive(Default)]
pub struct NoFlapping {
    settled: Option<Term>,
}

impl Invariant for NoFlapping {
    fn name(&self) -> &'static str {
        "no_flapping"
    }

    fn see(&mut self, world: &World, happening: &Happening) -> Result<(), String> {
        let Happening::Committed { .. } = happening else {
            return Ok(());
        };
        let term = world.ledger.newest().term();
        if term.get() > 2 + TERMS_PER_FAULT_MAX * world.troubles {
            return Err(format!("term {term} after {} faults", world.troubles));
        }
        let named = world.helped_out.map_or(0, |at| at + world.helped_ns() + NAMED_AFTER_MS * MS);
        let settles = |since: u64| named.max(since + SETTLED_AFTER_MS * MS);
        let calm = world.calm_since.is_some_and(|since| world.now > settles(since));
        if !calm {
            self.settled = None;
        }
        if calm && *self.settled.get_or_insert(term) != term {
            return Err(format!("term {term} begins, long after the last fault"));
        }
        Ok(())
    }
}
