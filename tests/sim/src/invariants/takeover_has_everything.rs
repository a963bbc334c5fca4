use std::collections::BTreeMap;

use sb_failover::record::{Proof, TransferKind};
use sb_failover::{Incarnation, Request};

use super::{Happening, Invariant};
use crate::model::postgres::{RECORD_BYTES, Record};
use crate::server::{Server, index};
use crate::world::World;

/// How far back confirmed commits are looked at.
const COMMITS_LOOKED_AT: usize = 300;

/// Whoever takes over has every confirmed commit that a server had which took part in the election: a far site that
/// lags never leads while a server with the data lives. Only a person may accept less, and then not more than was
/// accepted. Given a lease back with its end, it has that end (R11); what lies beyond it was left behind before.
#[derive(Default)]
pub struct TakeoverHasEverything {
    /// How much each holder's log had when it gave its lease back.
    ends: BTreeMap<usize, usize>,
}

impl Invariant for TakeoverHasEverything {
    fn name(&self) -> &'static str {
        "takeover_has_everything"
    }

    fn see(&mut self, world: &World, happening: &Happening) -> Result<(), String> {
        let Happening::Committed { step } = happening else {
            return Ok(());
        };
        match world.ledger.step(step - 1) {
            (Request::Release { holder, end: Some(_), .. }, Ok(())) => {
                let holder = index(&holder);
                self.ends.insert(holder, world.servers[holder].postgres.log.len());
                Ok(())
            }
            (Request::Takeover { by, incarnation, proof, .. }, Ok(())) => {
                self.see_takeover(world, *step, (index(&by), incarnation), proof)
            }
            _ => Ok(()),
        }
    }
}

impl TakeoverHasEverything {
    fn see_takeover(
        &self,
        world: &World,
        step: usize,
        (by, incarnation): (usize, Incarnation),
        proof: Proof,
    ) -> Result<(), String> {
        let before = world.ledger.at(step - 1);
        let winner = &world.servers[by];
        if incarnation != winner.config.member.incarnation {
            // A proposal from before its directories were lost; it holds nothing under that name any more.
            return Ok(());
        }
        let accepted = match (proof, before.transfer.as_ref().map(|t| t.kind)) {
            (Proof::AcceptedLoss, Some(TransferKind::Failover { accept_data_loss_bytes })) => {
                (accept_data_loss_bytes / RECORD_BYTES) as usize
            }
            (Proof::EndOfWal | Proof::Quorum | Proof::LagBound | Proof::AcceptedLoss, _) => 0,
        };
        let alive = before.valid_reports().map(|(s, _)| &world.servers[index(s)]);
        // A copy that was made anew since is not the one that was reported.
        let alive = alive.filter(|s| s.up && !s.postgres.torn && proof != Proof::EndOfWal);
        for reporter in alive {
            let lacks = lacking(world, winner, reporter);
            if lacks > accepted {
                return Err(format!("s{by} took over without {lacks} commits that {} has", reporter.name));
            }
        }
        let released = before.lease.as_ref().and_then(|l| Some((&l.holder, l.released.as_ref()?)));
        let Some((holder, released)) = released.filter(|(_, r)| r.end.is_some()) else {
            return Ok(());
        };
        let old = &world.servers[index(holder)];
        let whole = self.ends.get(&index(holder)).is_some_and(|end| *end == old.postgres.log.len());
        let lacks = lacking(world, winner, old);
        if proof == Proof::EndOfWal && whole && lacks > 0 {
            return Err(format!("s{by} was given the lease without {lacks} commits, {released:?}"));
        }
        Ok(())
    }
}

/// How many of the newest confirmed commits `other` has and `winner` has not.
fn lacking(world: &World, winner: &Server, other: &Server) -> usize {
    let newest = world.confirmed.iter().rev().take(COMMITS_LOOKED_AT).map(|c| c.transaction);
    newest.filter(|t: &Record| other.postgres.has(*t) && !winner.postgres.has(*t)).count()
}
