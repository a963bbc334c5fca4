use sb_failover::Request;
use sb_failover::record::{Proof, TransferKind};

use super::{Happening, Invariant};
use crate::model::postgres::{Postgres, RECORD_BYTES};
use crate::server::index;
use crate::world::World;

/// Asynchronously: whoever takes over has everything that the old primary had at its last renewal on record, but for
/// the bound in force, or for what a person has accepted.
pub struct LossIsBounded;

impl Invariant for LossIsBounded {
    fn name(&self) -> &'static str {
        "loss_is_bounded"
    }

    fn see(&mut self, world: &World, happening: &Happening) -> Result<(), String> {
        let Happening::Committed { step } = happening else {
            return Ok(());
        };
        let (Request::Takeover { by, proof, .. }, Ok(())) = world.ledger.step(step - 1) else {
            return Ok(());
        };
        let before = world.ledger.at(step - 1);
        let (Some(told), Some(lease)) = (&before.position, &before.lease) else {
            return Ok(());
        };
        let bound = match (proof, before.transfer.as_ref().map(|t| t.kind)) {
            (Proof::LagBound, _) => before.lag_bytes_max,
            (Proof::AcceptedLoss, Some(TransferKind::Failover { accept_data_loss_bytes })) => {
                accept_data_loss_bytes
            }
            (Proof::EndOfWal | Proof::Quorum | Proof::AcceptedLoss, _) => return Ok(()),
        };
        let (old, winner) = (&world.servers[index(&lease.holder)], &world.servers[index(&by)]);
        let kept = usize::try_from(told.flushed.get().saturating_sub(bound) / RECORD_BYTES).unwrap_or(0);
        // The old primary's directory may be another one by now: then it is that of before which counts.
        let on_line = |p: &&Postgres| p.lineage.current() == told.lineage.current();
        let Some(old) = [Some(&old.postgres), old.buried.as_deref()].into_iter().flatten().find(on_line)
        else {
            return Ok(());
        };
        let Some(last) = kept.checked_sub(1).and_then(|last| old.log.get(last)) else {
            return Ok(());
        };
        if winner.postgres.has(*last) {
            return Ok(());
        }
        Err(format!("{by} took over and lost more than {bound} bytes of {}'s", lease.holder))
    }
}
