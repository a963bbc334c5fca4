use std::collections::BTreeMap;

use sb_failover::{Seq, Term};
use sb_topology::ServerName;

use super::{Happening, Invariant};
use crate::world::World;

/// Terms only grow, each has one holder, and within one the renewals only grow.
#[derive(Default)]
pub struct TermMonotonic {
    holders: BTreeMap<Term, ServerName>,
    last: (Term, Seq),
    primary: Term,
}

impl Invariant for TermMonotonic {
    fn name(&self) -> &'static str {
        "term_monotonic"
    }

    fn see(&mut self, world: &World, happening: &Happening) -> Result<(), String> {
        match happening {
            Happening::Committed { .. } => self.see_record(world),
            Happening::BecamePrimary { server, term } => {
                let holder = self.holders.get(term);
                if holder != Some(&world.servers[*server].name) {
                    return Err(format!("s{server} became primary of term {term}, which is {holder:?}'s"));
                }
                if *term < self.primary && !world.servers[*server].stood_still(world.now) {
                    return Err(format!(
                        "s{server} became primary of term {term} after term {}",
                        self.primary
                    ));
                }
                self.primary = self.primary.max(*term);
                Ok(())
            }
            Happening::Acknowledged { .. }
            | Happening::StartedTorn { .. }
            | Happening::Streamed { .. }
            | Happening::PromisedHolder { .. }
            | Happening::SettingChanged
            | Happening::Renews { .. }
            | Happening::Opened { .. }
            | Happening::Left { .. }
            | Happening::End => Ok(()),
        }
    }
}

impl TermMonotonic {
    fn see_record(&mut self, world: &World) -> Result<(), String> {
        let Some(lease) = &world.ledger.newest().lease else {
            return Ok(());
        };
        let now = (lease.term, lease.seq);
        if now < self.last {
            return Err(format!("the lease went from {:?} back to {now:?}", self.last));
        }
        self.last = now;
        let holder = self.holders.entry(lease.term).or_insert_with(|| lease.holder.clone());
        if *holder == lease.holder { Ok(()) } else { Err(format!("term {} has two holders", lease.term)) }
    }
}
