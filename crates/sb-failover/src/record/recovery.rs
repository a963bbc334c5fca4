use std::collections::BTreeSet;

use sb_topology::ServerName;
use serde::{Deserialize, Serialize};

use super::apply::REMARK_BYTES_MAX;
use super::{ClusterRecord, MEMBERS_MAX, Outcome, Rejection, Released, Transfer, TransferId, TransferKind};
use crate::{Seq, Term};

/// How far the term jumps when a store is recovered: lost servers may have agreed on terms that the survivor has never
/// seen, and every guard and every promise must find the new ones larger.
pub const RECOVERY_TERMS: u64 = 1_000;

/// A person goes on with one server although the majority of the store is lost for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// Names it, for whoever asked for it.
    pub id: u64,
    /// The server to go on with; it shall be primary.
    pub server: ServerName,
    /// The servers that a person declared lost for good.
    pub given_up: BTreeSet<ServerName>,
    /// How much of what the last primary had may be missing.
    pub accept_data_loss_bytes: u64,
    /// Who asked.
    pub by: String,
}

/// How often the store was recovered, and who was given up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branch {
    /// Rises by one with every recovery; of two stores of one cluster the one with the larger number counts.
    pub generation: u64,
    /// The last recovery.
    pub last: Option<u64>,
    /// Servers that stay out until a person lets them back in.
    pub given_up: BTreeSet<ServerName>,
}

impl ClusterRecord {
    /// The first thing that a recovered store knows. The lease is given back in the name of a holder that cannot speak
    /// any more: whoever recovers the store has waited until it has certainly ended.
    pub(super) fn recover(&mut self, recovery: &Recovery) -> Outcome {
        let Recovery { id, server, given_up, accept_data_loss_bytes, by } = recovery;
        let member = self.members.get(server);
        let member = member.ok_or_else(|| Rejection::UnknownMember { server: server.clone() })?;
        if !member.promotable {
            return Err(Rejection::NotPromotable { server: server.clone() });
        }
        if given_up.contains(server) || given_up.len() > MEMBERS_MAX || by.len() > REMARK_BYTES_MAX {
            return Err(Rejection::OutOfBounds);
        }
        let lease = self.lease.as_mut().ok_or(Rejection::NotInitialized)?;
        lease.term = Term::new(lease.term.get() + RECOVERY_TERMS);
        lease.seq = Seq::default();
        lease.released = Some(Released { end: None, to: Some(server.clone()) });
        // Every promise named a lease of the lost store.
        self.reports.clear();
        self.pause = None;
        self.transfer = Some(Transfer {
            id: TransferId(*id),
            to: Some(server.clone()),
            kind: TransferKind::Failover { accept_data_loss_bytes: *accept_data_loss_bytes },
            by: by.clone(),
        });
        self.pass_over_timelines();
        self.branch.generation += 1;
        self.branch.last = Some(*id);
        self.branch.given_up.extend(given_up.iter().cloned());
        self.branch.given_up.remove(server);
        Ok(())
    }

    /// A person lets a server back in.
    pub(super) fn readmit(&mut self, server: &ServerName) -> Outcome {
        let was_out = self.branch.given_up.remove(server);
        if was_out { Ok(()) } else { Err(Rejection::NotGivenUp { server: server.clone() }) }
    }
}
