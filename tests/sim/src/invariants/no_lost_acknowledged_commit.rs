use super::{Happening, Invariant};
use crate::world::{Confirmed, World};

/// R6: in the synchronous modes every new primary has every commit that was ever confirmed to a client, but for those
/// that went with lost directories while the set was fallen back or not formed yet, and that a person has accepted as
/// lost.
pub struct NoLostAcknowledgedCommit;

impl Invariant for NoLostAcknowledgedCommit {
    fn name(&self) -> &'static str {
        "no_lost_acknowledged_commit"
    }

    fn see(&mut self, world: &World, happening: &Happening) -> Result<(), String> {
        if !world.profile.durability.is_synchronous() {
            return Ok(());
        }
        let server = match happening {
            // Nobody will hear a primary of an old term that is one only because its clock stood still.
            Happening::BecamePrimary { server, .. } => {
                Some(*server).filter(|s| !world.servers[*s].stood_still(world.now))
            }
            Happening::End => (0..world.servers.len()).find(|s| world.servers[*s].is_primary()),
            Happening::Acknowledged { .. }
            | Happening::StartedTorn { .. }
            | Happening::Committed { .. }
            | Happening::Streamed { .. }
            | Happening::PromisedHolder { .. }
            | Happening::SettingChanged
            | Happening::Renews { .. }
            | Happening::Opened { .. }
            | Happening::Left { .. } => None,
        };
        let Some(server) = server else {
            return Ok(());
        };
        let p = &world.servers[server].postgres;
        let lost: Vec<_> = world
            .confirmed
            .iter()
            .filter(|c| !p.has(c.transaction) && !world.accepted_lost.contains(&c.transaction))
            .collect();
        match lost.first() {
            None => Ok(()),
            Some(Confirmed { transaction, at, .. }) => Err(format!(
                "s{server} became primary without {} confirmed commits, the first {transaction} of {:.3} s",
                lost.len(),
                *at as f64 / 1e9
            )),
        }
    }
}
