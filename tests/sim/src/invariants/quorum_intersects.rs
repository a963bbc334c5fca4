use super::{Happening, Invariant};
use crate::world::World;

/// R6: at every moment every group that may confirm a commit meets every group that may elect: of the primary that
/// lets clients in, |V ∪ {Ls} ∪ S ∪ {La}| ≤ q + n + 1, and one of V and S contains the other.
pub struct QuorumIntersects;

impl Invariant for QuorumIntersects {
    fn name(&self) -> &'static str {
        "quorum_intersects"
    }

    fn see(&mut self, world: &World, happening: &Happening) -> Result<(), String> {
        match happening {
            Happening::Committed { .. } | Happening::SettingChanged | Happening::Opened { .. } => {}
            Happening::Acknowledged { .. }
            | Happening::BecamePrimary { .. }
            | Happening::StartedTorn { .. }
            | Happening::Streamed { .. }
            | Happening::PromisedHolder { .. }
            | Happening::Left { .. }
            | Happening::Renews { .. }
            | Happening::End => return Ok(()),
        }
        let record = world.ledger.newest();
        let sync = &record.sync;
        if !sync.durability.is_synchronous() || sync.degraded {
            return Ok(());
        }
        let open = |s: &&crate::server::Server| s.is_primary() && s.postgres.clients;
        let Some(primary) = world.servers.iter().filter(open).find(|s| s.postgres.term == record.term())
        else {
            return Ok(());
        };
        if sync.term != record.term() {
            return Err(format!(
                "{} lets clients in before term {} has settled",
                primary.name,
                record.term()
            ));
        }
        let set = &primary.postgres.sync;
        let (n, s) = (set.number, &set.names);
        let mut all: std::collections::BTreeSet<_> = sync.voters.union(s).collect();
        all.extend(sync.leader.iter().chain([&primary.name]));
        let nested = sync.voters.is_subset(s) || s.is_subset(&sync.voters);
        if n > 0 && nested && all.len() <= sync.quorum + n + 1 {
            return Ok(());
        }
        Err(format!(
            "{} waits for {n} of {s:?}, elections for {} of {:?}",
            primary.name, sync.quorum, sync.voters
        ))
    }
}
