use super::{Happening, Invariant};
use crate::world::World;

/// What the record claims is so: when a client hears that its commit is done while the set is not fallen back, the
/// commit is in the log of at least |V| − q of the voters, and of at least n of those that PostgreSQL names. A
/// standby is counted only for what it has really flushed.
pub struct RecordIsTrue;

impl Invariant for RecordIsTrue {
    fn name(&self) -> &'static str {
        "record_is_true"
    }

    fn see(&mut self, world: &World, happening: &Happening) -> Result<(), String> {
        let Happening::Acknowledged { server, term } = happening else {
            return Ok(());
        };
        let (Some(last), record) = (world.confirmed.last(), world.ledger.newest()) else {
            return Ok(());
        };
        let primary = &world.servers[*server];
        // A directory that was lost takes copies with it that had been counted.
        let has = |name: &sb_topology::ServerName| {
            let s = &world.servers[crate::server::index(name)];
            s.wiped || s.postgres.has(last.transaction)
        };
        let set = &primary.postgres.sync;
        let copies = set.names.iter().filter(|s| has(s)).count();
        if copies < set.number {
            return Err(format!("s{server} confirmed a commit that {copies} of {} have", set.number));
        }
        let sync = &record.sync;
        if !sync.durability.is_synchronous() || sync.degraded || sync.term != *term {
            return Ok(());
        }
        let (copies, claimed) =
            (sync.voters.iter().filter(|s| has(s)).count(), sync.voters.len().saturating_sub(sync.quorum));
        if copies >= claimed {
            return Ok(());
        }
        Err(format!("s{server} confirmed a commit that {copies} voters have, the record says {claimed}"))
    }
}
