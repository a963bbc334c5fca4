use crate::{MemberId, MembershipChange, StateMachine};

use super::disk::Disk;
use super::entry::EntryBody;
use super::message::{Message, MessageKind};
use super::{Halt, Replica};

/// A learner that lacks no more than this many entries has caught up.
const CAUGHT_UP_ENTRIES: u64 = 64;

/// Heartbeats within which whoever is to lead has been heard from: the answer to the last one may be on its way.
const HAND_OVER_HEARTBEATS_MAX: u64 = 2;

/// What may reach Raft: it trusts its caller, and panics or goes astray on input that no sound peer sends.
impl<S: StateMachine, D: Disk> Replica<S, D> {
    /// Whether a message may reach Raft at all.
    pub(super) fn accepts(&mut self, message: &Message) -> bool {
        use MessageKind::{Append, Heartbeat, Propose, ReadIndex, Snapshot, TransferLeader};
        let membership = self.state.membership();
        if message.to != self.settings.member.id
            || message.validate().is_err()
            || membership.was_removed(message.from)
        {
            return false;
        }
        match message.kind {
            // A member that knows of no group yet must not vote: it may have voted before it lost its directory.
            kind if membership.is_empty() => matches!(kind, Append | Heartbeat | Snapshot),
            // Raft would forward these once more, the last of them with a panic. The asker asks again.
            Propose | ReadIndex | TransferLeader if !self.is_leader() => false,
            Propose => self.admits_all(message),
            // It names the successor as its sender.
            TransferLeader => self.may_hand_over_to(message.from),
            _ => self.knows_index(message),
        }
    }

    /// A leader that is told of entries beyond its log would believe it.
    fn knows_index(&self, message: &Message) -> bool {
        message.kind != MessageKind::AppendResponse || message.index <= self.node.raft.raft_log.last_index()
    }

    fn admits_all(&mut self, message: &Message) -> bool {
        message.entries.iter().all(|entry| match &entry.body {
            EntryBody::Change(change) => {
                self.make_way_for(change);
                self.admits(change)
            }
            EntryBody::Command(_) | EntryBody::Empty => true,
        })
    }

    /// A leader that is to leave hands over first; its successor removes it when asked again.
    pub(super) fn make_way_for(&mut self, change: &MembershipChange) {
        if self.is_leader()
            && *change == MembershipChange::Remove(self.settings.member.id)
            && let Some(successor) = self.best_successor()
        {
            self.node.transfer_leader(successor.get());
        }
    }

    /// Whether a leader has heard of `successor` lately. While it waits for one that is gone it takes no request of anybody,
    /// for as long as an election lasts.
    pub(super) fn may_hand_over_to(&self, successor: MemberId) -> bool {
        let limit = HAND_OVER_HEARTBEATS_MAX * u64::from(self.settings.heartbeat_ticks);
        self.contact_age(successor).is_some_and(|age| age <= limit)
    }

    /// Whether a leader puts a change into the log now; others leave it to the leader.
    pub(super) fn admits(&self, change: &MembershipChange) -> bool {
        if !self.is_leader() {
            return true;
        }
        let free = !self.node.raft.has_pending_conf() && self.state.membership().check(change).is_ok();
        free && match change {
            MembershipChange::AddLearner(_) => true,
            MembershipChange::Promote(id) => self.has_caught_up(*id),
            MembershipChange::Remove(id) => *id != self.settings.member.id,
        }
    }

    pub(super) fn has_caught_up(&self, id: MemberId) -> bool {
        let raft = &self.node.raft;
        let matched = raft.prs().get(id.get()).map_or(0, |progress| progress.matched);
        matched > 0 && matched + CAUGHT_UP_ENTRIES >= raft.raft_log.last_index()
    }

    pub(super) fn check_nothing_lost(&self, message: &Message) -> Result<(), Halt> {
        let last = self.node.raft.raft_log.last_index();
        let current = message.term >= self.node.raft.term;
        if message.kind != MessageKind::Heartbeat || !current || message.commit <= last {
            return Ok(());
        }
        let name = self.state.membership().get(message.from).map(|leader| leader.name.clone());
        let leader = name.unwrap_or_else(|| message.from.to_string());
        Err(Halt::LostEntries { leader, acknowledged: message.commit, last })
    }
}
