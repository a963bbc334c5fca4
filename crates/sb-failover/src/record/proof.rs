use sb_pgtypes::{Position, Relation};
use sb_topology::ServerName;
use serde::{Deserialize, Serialize};

use super::{ClusterRecord, Durability, Outcome, Rejection, Standing, TransferKind};
use crate::mutant::{Mutant, Rules};

/// Why a takeover may happen. The record checks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proof {
    /// The lease was given back and the proposer has everything up to the end of the old primary's log (R11).
    EndOfWal,
    /// Synchronous modes: enough voters promised, and the proposer has everything they have (R6).
    Quorum,
    /// Asynchronous: the proposer has everything that was reported and at most the bound is missing.
    LagBound,
    /// A person's `Failover` names the proposer and accepts the loss.
    AcceptedLoss,
}

/// How many bytes `own` lacks of `other`; [`None`] when they are on different lines.
#[must_use]
pub fn missing(own: &Position, other: &Position) -> Option<u64> {
    match own.relation(other) {
        Relation::Equal | Relation::Ahead => Some(0),
        Relation::Behind => Some(other.flushed.bytes_ahead_of(own.flushed)),
        Relation::Diverged => None,
    }
}

impl ClusterRecord {
    /// Whether `by` at `position` may take over for the reason it gives.
    ///
    /// # Errors
    /// What the proof lacks.
    pub(crate) fn prove(&self, by: &ServerName, position: &Position, proof: Proof, rules: Rules) -> Outcome {
        if self.standing(position) == Some(Standing::Diverged) {
            return Err(Rejection::Diverged);
        }
        self.prove_known(by, rules)?;
        match proof {
            Proof::EndOfWal => self.prove_end_of_wal(position, rules),
            Proof::Quorum => {
                self.prove_wanted(by)?;
                self.prove_quorum(by, position, rules)
            }
            Proof::LagBound => {
                self.prove_wanted(by)?;
                self.prove_lag_bound(by, position)
            }
            Proof::AcceptedLoss => self.prove_accepted_loss(by, position),
        }
    }

    /// R10: a holder that goes on without the store has asked everybody it knows. One that gave its lease back
    /// has nothing to go on with.
    fn prove_known(&self, by: &ServerName, rules: Rules) -> Outcome {
        let held = self.holder().is_some();
        if held && self.strangers.contains_key(by) && !rules.broken_by(Mutant::StrangerTakesOver) {
            return Err(Rejection::Stranger { server: by.clone() });
        }
        Ok(())
    }

    fn prove_end_of_wal(&self, position: &Position, rules: Rules) -> Outcome {
        let released = self.lease.as_ref().and_then(|l| l.released.as_ref());
        let end = released.and_then(|r| r.end.as_ref()).ok_or(Rejection::WrongProof)?;
        if rules.broken_by(Mutant::HandOverUnproven) {
            return Ok(());
        }
        match missing(position, end) {
            Some(0) => Ok(()),
            Some(bytes) => Err(Rejection::TooFarBehind { bytes, allowed: 0 }),
            None => Err(Rejection::Diverged),
        }
    }

    /// Whether `position` has everything up to the end that the holder gave its lease back with.
    pub(crate) fn has_end_of_wal(&self, position: &Position) -> bool {
        self.prove_end_of_wal(position, Rules::default()).is_ok()
    }

    fn prove_quorum(&self, by: &ServerName, position: &Position, rules: Rules) -> Outcome {
        if !self.sync.durability.is_synchronous() {
            return Err(Rejection::WrongProof);
        }
        if self.sync.degraded {
            return Err(Rejection::Degraded);
        }
        let others = self.valid_reports().filter(|(s, _)| *s != by && self.sync.voters.contains(*s));
        let have = others.count();
        let mut need = self.reports_needed(by);
        if rules.broken_by(Mutant::QuorumTooSmall) {
            need = need.saturating_sub(1);
        }
        if have < need {
            return Err(Rejection::TooFewReports { have, need });
        }
        self.prove_contains_reports(by, position)
    }

    /// From how many voters other than itself `candidate` needs a report.
    #[must_use]
    pub fn reports_needed(&self, candidate: &ServerName) -> usize {
        self.sync.quorum + usize::from(!self.sync.voters.contains(candidate))
    }

    fn prove_lag_bound(&self, by: &ServerName, position: &Position) -> Outcome {
        if self.sync.durability != Durability::Async {
            return Err(Rejection::WrongProof);
        }
        self.prove_contains_reports(by, position)?;
        self.prove_missing_at_most(position, self.lag_bytes_max)
    }

    fn prove_accepted_loss(&self, by: &ServerName, position: &Position) -> Outcome {
        let transfer = self.transfer.as_ref().filter(|t| t.to.as_ref() == Some(by));
        let Some(TransferKind::Failover { accept_data_loss_bytes }) = transfer.map(|t| t.kind) else {
            return Err(Rejection::WrongProof);
        };
        let (bytes, allowed) = (self.lost_from(position).ok_or(Rejection::Diverged)?, accept_data_loss_bytes);
        if bytes > allowed { Err(Rejection::TooFarBehind { bytes, allowed }) } else { Ok(()) }
    }

    /// How many bytes `position` lacks of what the holder told last and of what was reported; [`None`] when one of them is on
    /// another line.
    pub(crate) fn lost_from(&self, position: &Position) -> Option<u64> {
        let reported = self.valid_reports().map(|(_, report)| &report.position);
        let mut lost = 0;
        for other in reported.chain(&self.position) {
            lost = lost.max(self.lacks(position, other)?);
        }
        Some(lost)
    }

    /// How many bytes that clients may have written `own` lacks of `other`; [`None`] when they are on different lines. What
    /// comes after an unrecorded promotion counts for nothing on both sides.
    pub(crate) fn lacks(&self, own: &Position, other: &Position) -> Option<u64> {
        missing(&self.recorded_part(own), &self.recorded_part(other))
    }

    pub(crate) fn prove_missing_at_most(&self, position: &Position, allowed: u64) -> Outcome {
        let Some(last) = &self.position else {
            return Ok(());
        };
        let bytes = self.lacks(position, last).ok_or(Rejection::Diverged)?;
        if bytes > allowed { Err(Rejection::TooFarBehind { bytes, allowed }) } else { Ok(()) }
    }

    pub(crate) fn prove_contains_reports(&self, by: &ServerName, position: &Position) -> Outcome {
        for (server, report) in self.valid_reports().filter(|(s, _)| *s != by) {
            if !position.contains(&self.recorded_part(&report.position)) {
                return Err(Rejection::Behind { server: server.clone() });
            }
        }
        Ok(())
    }

    /// The part of a position that clients may have written: what lies beyond an unrecorded promotion is only
    /// that promotion's own record.
    #[must_use]
    pub(crate) fn recorded_part(&self, position: &Position) -> Position {
        let in_force = self.lineage.as_ref().map(|l| &l.lineage);
        for line in self.recorded_ahead().into_iter().chain(in_force) {
            match Standing::of(position, line) {
                Standing::InForce => break,
                Standing::Diverged => {}
                Standing::Unrecorded => {
                    let left = position.lineage.forks().get(line.forks().len());
                    let flushed = left.map_or(position.flushed, |fork| fork.at.min(position.flushed));
                    return Position { lineage: line.clone(), flushed };
                }
            }
        }
        position.clone()
    }
}
