use sb_pgtypes::{Lineage, Lsn, Position};
use sb_topology::ServerName;

use super::{
    ClusterRecord, HISTORY_MAX, Handover, HandoverReason, Lease, LineageInForce, Outcome, Proof, Rejection,
    Released, Report, Request, Standing, SyncRecord, TransferKind,
};
use crate::mutant::{Mutant, Rules};
use crate::{Incarnation, RenewalNumber, Seq, Term};

/// The longest lease that a renewal may ask for.
pub const TTL_MS_MAX: u64 = 600_000;

type Claim<'a> = (&'a ServerName, Incarnation, Term);

impl ClusterRecord {
    pub(super) fn initialize(&mut self, request: &Request) -> Outcome {
        let Request::Initialize { by, incarnation, system_identifier, lineage, renewal, ttl_ms, .. } =
            request
        else {
            return Err(Rejection::OutOfBounds);
        };
        let Request::Initialize { durability, number, lag_bytes_max, automatic, .. } = request else {
            return Err(Rejection::OutOfBounds);
        };
        if self.system_identifier.is_some() {
            return Err(Rejection::AlreadyInitialized);
        }
        if !self.member(by, *incarnation)?.promotable {
            return Err(Rejection::NotPromotable { server: by.clone() });
        }
        check_ttl(*ttl_ms)?;
        if durability.is_synchronous() != (*number > 0) {
            return Err(Rejection::OutOfBounds);
        }
        let term = Term::new(1);
        self.system_identifier = Some(*system_identifier);
        self.lineage = Some(LineageInForce::promoted(term, lineage.clone()));
        self.sync = SyncRecord::founding(*durability, *number, by.clone(), term);
        self.lag_bytes_max = *lag_bytes_max;
        self.automatic = *automatic;
        self.lease = Some(Lease {
            holder: by.clone(),
            incarnation: *incarnation,
            term,
            seq: Seq::default(),
            ttl_ms: *ttl_ms,
            renewal: *renewal,
            released: None,
        });
        let reason = HandoverReason::Initialized;
        self.remember(Handover { term, from: None, to: by.clone(), reason, position: None });
        Ok(())
    }

    pub(super) fn renew(
        &mut self,
        claim: Claim<'_>,
        renewal: RenewalNumber,
        ttl_ms: u64,
        position: Option<&Position>,
    ) -> Outcome {
        check_ttl(ttl_ms)?;
        let lease = self.held_by(claim)?;
        newer(renewal, lease)?;
        lease.renewal = renewal;
        lease.seq = lease.seq.next();
        lease.ttl_ms = ttl_ms;
        if let Some(position) = position {
            self.timelines.learn(&position.lineage);
            self.position = Some(position.clone());
        }
        // Every promise named the renewal before this one.
        self.reports.clear();
        Ok(())
    }

    pub(super) fn report(
        &mut self,
        (server, incarnation): (&ServerName, Incarnation),
        (term, seq): (Term, Seq),
        position: &Position,
    ) -> Outcome {
        self.member(server, incarnation)?;
        let lease = self.lease.as_ref().ok_or(Rejection::NotInitialized)?;
        if (lease.term, lease.seq) != (term, seq) {
            return Err(Rejection::LeaseMoved { term: lease.term, seq: lease.seq });
        }
        if lease.holder == *server && lease.released.is_none() {
            return Err(Rejection::IsHolder { server: server.clone() });
        }
        if self.standing(position) == Some(Standing::Diverged) {
            return Err(Rejection::Diverged);
        }
        self.timelines.learn(&position.lineage);
        self.reports.insert(server.clone(), Report { term, seq, position: position.clone() });
        Ok(())
    }

    pub(super) fn release(
        &mut self,
        claim: Claim<'_>,
        renewal: RenewalNumber,
        end: Option<&Position>,
        to: Option<&ServerName>,
    ) -> Outcome {
        let lease = self.held_by(claim)?;
        newer(renewal, lease)?;
        lease.renewal = renewal;
        let end = end.cloned().or_else(|| self.end_of_unopened_term());
        if let Some(end) = &end {
            self.position = Some(end.clone());
        }
        if let Some(lease) = &mut self.lease {
            lease.released = Some(Released { end, to: to.cloned() });
        }
        Ok(())
    }

    /// No client is let in before the promotion is on record, in the synchronous modes not before the term has settled
    /// its set either. So a holder that gives the lease back before that has confirmed nothing in its term, and whoever
    /// has what it took over with has everything (R11).
    fn end_of_unopened_term(&self) -> Option<Position> {
        let term = self.lease.as_ref()?.term;
        let promoted = self.lineage.as_ref().is_none_or(|l| l.term == term);
        let opened = promoted && (!self.sync.durability.is_synchronous() || self.sync.term == term);
        let handover = self.history.last().filter(|h| h.term == term && !opened)?;
        handover.position.clone()
    }

    pub(super) fn take_over(&mut self, request: &Request, rules: Rules) -> Outcome {
        let Request::Takeover { by, incarnation, expect_term, expect_seq, renewal, ttl_ms, position, proof } =
            request
        else {
            return Err(Rejection::OutOfBounds);
        };
        check_ttl(*ttl_ms)?;
        if !self.member(by, *incarnation)?.promotable {
            return Err(Rejection::NotPromotable { server: by.clone() });
        }
        let lease = self.lease.as_ref().ok_or(Rejection::NotInitialized)?;
        let same = lease.term == *expect_term && lease.seq == *expect_seq;
        let same = same || (rules.broken_by(Mutant::NoCompareAndSet) && lease.term == *expect_term);
        if !same {
            return Err(Rejection::LeaseMoved { term: lease.term, seq: lease.seq });
        }
        if lease.holder == *by && lease.released.is_none() {
            return Err(Rejection::IsHolder { server: by.clone() });
        }
        self.prove(by, position, *proof, rules)?;
        let reason = self.handover_reason(*proof);
        let term = lease.term.next();
        let from = Some(lease.holder.clone());
        let timelines = self.with_reserved(term, renewal.session, Some(&position.lineage))?;
        self.lease = Some(Lease {
            holder: by.clone(),
            incarnation: *incarnation,
            term,
            seq: Seq::default(),
            ttl_ms: *ttl_ms,
            renewal: *renewal,
            released: None,
        });
        // What others have beyond the new holder's line is left behind with the old holder.
        if let Some(in_force) = &mut self.lineage {
            in_force.take_over(&position.lineage);
        }
        self.position = Some(position.clone());
        self.reports.clear();
        // The new holder sees its own takeover applied, and with it everybody admitted before.
        self.strangers.clear();
        self.transfer = None;
        self.timelines = timelines;
        self.remember(Handover { term, from, to: by.clone(), reason, position: Some(position.clone()) });
        Ok(())
    }

    fn handover_reason(&self, proof: Proof) -> HandoverReason {
        let released = self.lease.as_ref().is_some_and(|l| l.released.is_some());
        let asked = self.transfer.as_ref().map(|t| t.kind);
        match (proof, released, asked) {
            (Proof::AcceptedLoss, _, _) => HandoverReason::Failover,
            (Proof::EndOfWal | Proof::Quorum | Proof::LagBound, true, Some(TransferKind::Switchover)) => {
                HandoverReason::Switchover
            }
            (
                Proof::EndOfWal | Proof::Quorum | Proof::LagBound,
                true,
                Some(TransferKind::Failover { .. }),
            ) => HandoverReason::Failover,
            (Proof::EndOfWal | Proof::Quorum | Proof::LagBound, true, None) => HandoverReason::Released,
            (Proof::EndOfWal | Proof::Quorum | Proof::LagBound, false, _) => HandoverReason::Expired,
        }
    }

    pub(super) fn promoted(&mut self, claim: Claim<'_>, lineage: &Lineage) -> Outcome {
        let term = claim.2;
        self.held_by(claim)?;
        let known = self.lineage.as_ref().ok_or(Rejection::NotInitialized)?;
        let again = known.term == term && known.lineage == *lineage;
        if again {
            return Ok(());
        }
        let end = Position { lineage: lineage.clone(), flushed: Lsn::new(u64::MAX) };
        if known.term == term || Standing::of(&end, &known.lineage) != Standing::Unrecorded {
            return Err(Rejection::Diverged);
        }
        self.timelines.learn(lineage);
        if let Some(fork) = lineage.forks().last() {
            self.position = Some(Position { lineage: lineage.clone(), flushed: fork.at });
        }
        self.lineage = Some(LineageInForce::promoted(term, lineage.clone()));
        self.drop_reports_off_the_line();
        Ok(())
    }

    /// A promotion that is put on record late, when its server may be lost already, leaves behind log that was reported
    /// before. Nobody could contain such a report, and whoever sent it cannot take it back.
    fn drop_reports_off_the_line(&mut self) {
        let reports = std::mem::take(&mut self.reports);
        let stands = |report: &Report| self.standing(&report.position) != Some(Standing::Diverged);
        self.reports = reports.into_iter().filter(|(_, report)| stands(report)).collect();
    }

    fn remember(&mut self, handover: Handover) {
        if self.history.len() >= HISTORY_MAX {
            self.history.remove(0);
        }
        self.history.push(handover);
    }
}

fn newer(number: RenewalNumber, lease: &Lease) -> Outcome {
    if number > lease.renewal { Ok(()) } else { Err(Rejection::StaleRenewal { number, last: lease.renewal }) }
}

const fn check_ttl(ttl_ms: u64) -> Outcome {
    if ttl_ms > 0 && ttl_ms <= TTL_MS_MAX { Ok(()) } else { Err(Rejection::OutOfBounds) }
}
