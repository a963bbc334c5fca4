use sb_failover::Request;
use sb_topology::ServerName;

use super::{Happening, Invariant};
use crate::model::postgres::Record;
use crate::server::{Server, index};
use crate::world::World;

/// What the record claims is so: when a client hears that its commit is done while the set is not fallen back, the
/// commit is in the log of at least |V| − q of the voters, and of at least n of those that PostgreSQL names. A
/// standby is counted only for what it has really flushed. And a set that comes on record has what was confirmed before
/// it, on as many of its voters as elections will count on.
pub struct RecordIsTrue;

impl Invariant for RecordIsTrue {
    fn name(&self) -> &'static str {
        "record_is_true"
    }

    fn see(&mut self, world: &World, happening: &Happening) -> Result<(), String> {
        let (server, term) = match happening {
            Happening::Acknowledged { server, term } => (server, term),
            Happening::Committed { step } => return see_set(world, *step),
            Happening::BecamePrimary { .. }
            | Happening::StartedTorn { .. }
            | Happening::Streamed { .. }
            | Happening::PromisedHolder { .. }
            | Happening::SettingChanged
            | Happening::Renews { .. }
            | Happening::Opened { .. }
            | Happening::Left { .. }
            | Happening::End => return Ok(()),
        };
        let (Some(last), record) = (world.confirmed.last(), world.ledger.newest()) else {
            return Ok(());
        };
        let primary = &world.servers[*server];
        let has = |name: &ServerName| had(&world.servers[index(name)], last.transaction);
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

fn see_set(world: &World, step: usize) -> Result<(), String> {
    let (Request::SetSync { holder, .. }, Ok(())) = world.ledger.step(step - 1) else {
        return Ok(());
    };
    let sync = &world.ledger.at(step).sync;
    if !sync.durability.is_synchronous() || sync.degraded {
        return Ok(());
    }
    // What the holder has not was left behind before, or its directories are lost.
    let holder = &world.servers[index(&holder)];
    let Some(last) = world.confirmed.iter().rev().find(|c| holder.postgres.has(c.transaction)) else {
        return Ok(());
    };
    let copies = sync.voters.iter().filter(|s| had(&world.servers[index(s)], last.transaction)).count();
    if copies >= sync.counted_on() {
        return Ok(());
    }
    let (name, claimed) = (&holder.name, sync.counted_on());
    Err(format!(
        "{name} put voters on record of which {copies} have the last confirmed commit, not {claimed}"
    ))
}

/// Directories that were lost take copies with them that had been counted.
fn had(server: &Server, transaction: Record) -> bool {
    let before = server.buried.as_ref().is_some_and(|before| before.has(transaction));
    before || server.postgres.has(transaction)
}
