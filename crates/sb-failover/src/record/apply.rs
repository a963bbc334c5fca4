use sb_topology::ServerName;

use super::{
    Automatic, ClusterRecord, Lease, MEMBERS_MAX, MESH_BYTES_MAX, Member, Outcome, PAUSE_MS_MAX, Pause,
    Rejection, Request, TOPOLOGY_BYTES_MAX, Transfer, TransferId, TransferKind,
};
use crate::mutant::{Mutant, Rules};
use crate::{Incarnation, Term, Timings};

/// How long the name of a person and the reason of a pause may be.
pub(super) const REMARK_BYTES_MAX: usize = 1024;

impl ClusterRecord {
    /// Applies one entry of the log. The record is unchanged when the outcome is a rejection.
    ///
    /// # Errors
    /// Why the entry changes nothing.
    pub fn apply(&mut self, request: &Request) -> Outcome {
        self.apply_by(request, Rules::default())
    }

    /// `apply`, with a rule broken on purpose.
    ///
    /// # Errors
    /// Why the entry changes nothing.
    #[cfg(feature = "mutants")]
    #[doc(hidden)]
    pub fn apply_mutated(&mut self, request: &Request, mutant: Option<Mutant>) -> Outcome {
        self.apply_by(request, Rules::broken(mutant))
    }

    fn apply_by(&mut self, request: &Request, rules: Rules) -> Outcome {
        match request {
            Request::Initialize { .. } => self.initialize(request),
            Request::Register { server, member } => self.register(server, member),
            Request::Remove { server } => self.remove(server),
            Request::Renew { holder, incarnation, term, renewal, ttl_ms, position, admissions } => {
                let claim = (holder, *incarnation, *term);
                let stale = self.reports.clone();
                self.renew(claim, *renewal, *ttl_ms, position.as_ref())?;
                if rules.broken_by(Mutant::StaleReports) {
                    self.outlive(stale);
                }
                self.strangers.retain(|_, admission| *admission > *admissions);
                Ok(())
            }
            Request::Report { server, incarnation, term, seq, position } => {
                self.report((server, *incarnation), (*term, *seq), position)
            }
            Request::Takeover { .. } => self.take_over(request, rules),
            Request::Release { holder, incarnation, term, renewal, end, to } => {
                self.release((holder, *incarnation, *term), *renewal, end.as_ref(), to.as_ref())
            }
            Request::Promoted { holder, incarnation, term, lineage } => {
                self.promoted((holder, *incarnation, *term), lineage)
            }
            Request::SetSync { holder, incarnation, term, expect, sync } => {
                self.set_sync((holder, *incarnation, *term), expect, sync)
            }
            Request::SetPause { pause } => self.set_pause(pause),
            Request::ClearPause { id } => self.clear_pause(*id),
            Request::RequestTransfer { transfer } => self.request_transfer(transfer),
            Request::CancelTransfer { id } => self.cancel_transfer(*id),
            Request::SetTopology { expect_generation, document, automatic } => {
                self.set_topology(*expect_generation, document, *automatic)
            }
            Request::SetTimings { timings, lag_bytes_max } => self.set_timings(timings, *lag_bytes_max),
            Request::SetDurability { durability, number } => self.set_durability(*durability, *number),
            Request::Recover { recovery } => self.recover(recovery),
            Request::Readmit { server } => self.readmit(server),
            Request::SetMesh { expect_generation, document } => self.set_mesh(*expect_generation, document),
            Request::ReserveTimeline { holder, incarnation, term, session } => {
                self.held_by((holder, *incarnation, *term))?;
                self.timelines = self.with_reserved(*term, *session, None)?;
                Ok(())
            }
        }
    }

    /// The registered server behind a claim, if it is still that server.
    pub(super) fn member(&self, server: &ServerName, incarnation: Incarnation) -> Result<&Member, Rejection> {
        let member = self.members.get(server);
        let member = member.ok_or_else(|| Rejection::UnknownMember { server: server.clone() })?;
        if member.incarnation != incarnation {
            return Err(Rejection::OtherIncarnation { server: server.clone() });
        }
        Ok(member)
    }

    /// The lease, if `holder` holds it in `term` and has not given it back.
    pub(super) fn held_by(
        &mut self,
        (holder, incarnation, term): (&ServerName, Incarnation, Term),
    ) -> Result<&mut Lease, Rejection> {
        let lease = self.lease.as_mut().ok_or(Rejection::NotInitialized)?;
        if lease.term != term {
            return Err(Rejection::LeaseMoved { term: lease.term, seq: lease.seq });
        }
        if lease.holder != *holder || lease.incarnation != incarnation || lease.released.is_some() {
            return Err(Rejection::NotHolder { server: holder.clone() });
        }
        Ok(lease)
    }

    fn register(&mut self, server: &ServerName, member: &Member) -> Outcome {
        if self.members.len() >= MEMBERS_MAX && !self.members.contains_key(server) {
            return Err(Rejection::OutOfBounds);
        }
        let before = self.members.insert(server.clone(), member.clone());
        let same_life = before.as_ref().is_none_or(|b| b.incarnation == member.incarnation);
        if !same_life {
            self.reports.remove(server);
        }
        // What another life of its store has promised to the holder (R10) this one does not know. The holder itself
        // promises nobody anything.
        let could = same_life && before.is_some_and(|b| b.promotable);
        let asked = self.lease.as_ref().is_some_and(|l| l.holder != *server);
        if member.promotable && !could && asked {
            self.admissions += 1;
            self.strangers.insert(server.clone(), self.admissions);
        }
        Ok(())
    }

    /// Reports of the lease before count for the lease as it is.
    fn outlive(&mut self, stale: std::collections::BTreeMap<ServerName, super::Report>) {
        let lease = self.lease.as_ref().map(|l| (l.term, l.seq));
        for (server, report) in stale {
            let (term, seq) = lease.unwrap_or((report.term, report.seq));
            self.reports.insert(server, super::Report { term, seq, ..report });
        }
    }

    fn remove(&mut self, server: &ServerName) -> Outcome {
        if self.lease.as_ref().is_some_and(|l| l.holder == *server) {
            return Err(Rejection::IsHolder { server: server.clone() });
        }
        // A voter's acknowledgements count until the primary has taken it out of the set.
        if self.sync.voters.contains(server) {
            return Err(Rejection::SyncStep);
        }
        self.members.remove(server).ok_or_else(|| Rejection::UnknownMember { server: server.clone() })?;
        self.reports.remove(server);
        self.strangers.remove(server);
        Ok(())
    }

    fn set_pause(&mut self, pause: &Pause) -> Outcome {
        let remarks = pause.by.len() + pause.reason.len();
        if pause.for_ms == 0 || pause.for_ms > PAUSE_MS_MAX || remarks > REMARK_BYTES_MAX {
            return Err(Rejection::OutOfBounds);
        }
        self.pause = Some(pause.clone());
        Ok(())
    }

    fn clear_pause(&mut self, id: u64) -> Outcome {
        self.pause.take_if(|p| p.id == id).map(|_| ()).ok_or(Rejection::NoSuchRequest)
    }

    fn request_transfer(&mut self, transfer: &Transfer) -> Outcome {
        let lease = self.lease.as_ref().ok_or(Rejection::NotInitialized)?;
        if self.transfer.is_some() {
            return Err(Rejection::TransferPending);
        }
        let named = match transfer.kind {
            TransferKind::Switchover => true,
            TransferKind::Failover { .. } => transfer.to.is_some(),
        };
        if !named || transfer.by.len() > REMARK_BYTES_MAX {
            return Err(Rejection::OutOfBounds);
        }
        if let Some(to) = &transfer.to {
            let member =
                self.members.get(to).ok_or_else(|| Rejection::UnknownMember { server: to.clone() })?;
            if !member.promotable {
                return Err(Rejection::NotPromotable { server: to.clone() });
            }
            if lease.holder == *to && lease.released.is_none() {
                return Err(Rejection::IsHolder { server: to.clone() });
            }
        }
        self.transfer = Some(transfer.clone());
        Ok(())
    }

    fn cancel_transfer(&mut self, id: TransferId) -> Outcome {
        self.transfer.take_if(|t| t.id == id).map(|_| ()).ok_or(Rejection::NoSuchRequest)
    }

    fn set_topology(&mut self, expect_generation: u64, document: &str, automatic: Automatic) -> Outcome {
        let generation = self.topology.generation;
        if generation != expect_generation {
            return Err(Rejection::TopologyMoved { generation });
        }
        if document.len() > TOPOLOGY_BYTES_MAX {
            return Err(Rejection::OutOfBounds);
        }
        self.topology.generation += 1;
        document.clone_into(&mut self.topology.document);
        self.automatic = automatic;
        Ok(())
    }

    fn set_mesh(&mut self, expect_generation: u64, document: &str) -> Outcome {
        let generation = self.mesh.generation;
        if generation != expect_generation {
            return Err(Rejection::MeshMoved { generation });
        }
        if document.len() > MESH_BYTES_MAX {
            return Err(Rejection::OutOfBounds);
        }
        self.mesh.generation += 1;
        document.clone_into(&mut self.mesh.document);
        Ok(())
    }

    fn set_timings(&mut self, timings: &Timings, lag_bytes_max: u64) -> Outcome {
        timings.check().map_err(|_| Rejection::OutOfBounds)?;
        self.timings = timings.clone();
        self.lag_bytes_max = lag_bytes_max;
        Ok(())
    }
}
