use raft::eraftpb;
use serde::{Deserialize, Serialize};

use crate::limits::SNAPSHOT_BYTES_MAX;
use crate::{MemberId, Membership};

use super::Position;

/// The replicated state at one place of the log; it stands for every entry up to there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The last entry that is part of it.
    pub position: Position,
    /// Who belonged to the group there.
    pub membership: Membership,
    /// The answers kept for retries, encoded by this crate.
    pub sessions: Vec<u8>,
    /// The embedder's state machine, encoded by it.
    pub machine: Vec<u8>,
}

impl Snapshot {
    /// Whether the snapshot can be sent to this member: it must be in its membership, or it would refuse it.
    pub(crate) fn includes(&self, id: u64) -> bool {
        MemberId::new(id).is_some_and(|id| self.membership.get(id).is_some())
    }

    /// Whether its bounds and its membership's rules hold.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let bytes = self.sessions.len() + self.machine.len();
        bytes <= SNAPSHOT_BYTES_MAX && self.position.index > 0 && self.membership.is_sound()
    }

    pub(crate) fn to_raft(&self) -> eraftpb::Snapshot {
        let mut snapshot = eraftpb::Snapshot { data: encode(self).into(), ..Default::default() };
        let metadata = snapshot.mut_metadata();
        metadata.index = self.position.index;
        metadata.term = self.position.term;
        metadata.set_conf_state(conf_state(&self.membership));
        snapshot
    }

    /// Reads Raft's form, whose bytes were made by this process.
    pub(crate) fn from_raft(snapshot: &eraftpb::Snapshot) -> Result<Self, postcard::Error> {
        postcard::from_bytes(&snapshot.data)
    }
}

/// Raft's form of a membership.
pub(crate) fn conf_state(membership: &Membership) -> eraftpb::ConfState {
    let mut state = eraftpb::ConfState::default();
    state.set_voters(membership.voters().map(|member| member.id.get()).collect());
    state.set_learners(membership.learners().map(|member| member.id.get()).collect());
    state
}

fn encode(snapshot: &Snapshot) -> Vec<u8> {
    postcard::to_allocvec(snapshot).expect("a snapshot has no part that cannot be encoded")
}
