use std::collections::BTreeMap;

use crate::{DiskHealth, MemberId, Membership, Role, StateMachine};

use super::Replica;
use super::disk::Disk;

/// A replica's view of the group; ages are in ticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaHealth {
    /// What this member is.
    pub role: Role,
    /// Whom it follows.
    pub leader: Option<MemberId>,
    /// Raft's term.
    pub raft_term: u64,
    /// Index up to which entries are known to be committed.
    pub commit_index: u64,
    /// Index up to which the state is.
    pub applied_index: u64,
    /// Ticks since a majority of voters (leader) or the leader (others) was heard from.
    pub quorum_contact_age: Option<u64>,
    /// Who belongs to the group.
    pub membership: Membership,
    /// For a leader, of each other member: last index held, whether caught up, ticks since it was heard from.
    pub progress: BTreeMap<MemberId, (u64, bool, Option<u64>)>,
    /// Whether entries can be made durable.
    pub disk: DiskHealth,
}

impl<S: StateMachine, D: Disk> Replica<S, D> {
    /// The replica's view of the group.
    #[must_use]
    pub fn health(&self) -> ReplicaHealth {
        let raft = &self.node.raft;
        ReplicaHealth {
            role: self.role(),
            leader: self.leader(),
            raft_term: raft.term,
            commit_index: raft.raft_log.committed,
            applied_index: self.state.applied().index,
            quorum_contact_age: self.quorum_contact_age(),
            membership: self.state.membership().clone(),
            progress: self.progress(),
            disk: self.disk_health(),
        }
    }

    /// A learner never stands for election, so Raft would name a leader that is long gone.
    fn leader(&self) -> Option<MemberId> {
        let limit = 2 * u64::from(self.settings.election_max_ticks);
        let leader = MemberId::new(self.node.raft.leader_id).filter(|_| self.stalled.is_none())?;
        self.contact_age(leader).is_none_or(|age| age <= limit).then_some(leader)
    }

    pub(super) fn contact_age(&self, id: MemberId) -> Option<u64> {
        if id == self.settings.member.id {
            return Some(0);
        }
        self.heard.get(&id).map(|at| self.now - at)
    }

    /// The age of the oldest contact among the freshest majority.
    fn quorum_contact_age(&self) -> Option<u64> {
        if !self.is_leader() {
            return self.contact_age(MemberId::new(self.node.raft.leader_id)?);
        }
        let mut ages: Vec<Option<u64>> =
            self.state.membership().voters().map(|voter| self.contact_age(voter.id)).collect();
        ages.sort_by_key(|age| age.unwrap_or(u64::MAX));
        ages.get(ages.len() / 2).copied().flatten()
    }

    fn progress(&self) -> BTreeMap<MemberId, (u64, bool, Option<u64>)> {
        if !self.is_leader() {
            return BTreeMap::new();
        }
        let raft = &self.node.raft;
        let others = self.state.membership().members().filter(|member| member.id != self.settings.member.id);
        let of = |id: MemberId| {
            let matched = raft.prs().get(id.get()).map_or(0, |progress| progress.matched);
            (id, (matched, self.has_caught_up(id), self.contact_age(id)))
        };
        others.map(|member| of(member.id)).collect()
    }
}
