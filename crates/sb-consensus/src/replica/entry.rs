use protobuf::Message as _;
use raft::eraftpb::{self, ConfChangeSingle, ConfChangeType, ConfChangeV2, EntryType};
use serde::{Deserialize, Serialize};

use crate::limits::ENTRY_BYTES_MAX;
use crate::{MemberId, MembershipChange};

/// A place in the log: an index and the Raft term of the entry there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    /// Its index; 0 is before the first entry.
    pub index: u64,
    /// The term of the entry.
    pub term: u64,
}

/// One entry of the log, as it is written to disk and sent to peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Its index; 0 in a proposal that has no place yet.
    pub index: u64,
    /// The term of the leader that ordered it; 0 in a proposal.
    pub term: u64,
    /// What it says.
    pub body: EntryBody,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryBody {
    /// Nothing: a new leader's first entry.
    Empty,
    /// An encoded command of this crate.
    Command(Vec<u8>),
    /// A step of membership.
    Change(MembershipChange),
}

/// The part of Raft's state that must survive a crash beside the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ballot {
    /// The newest term seen.
    pub term: u64,
    /// Whom this member voted for in it.
    pub vote: Option<MemberId>,
    /// An index up to which entries are committed; may be behind.
    pub commit: u64,
}

/// An entry that this crate would never have made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {index} is malformed: {reason}")]
pub struct MalformedEntry {
    /// Its index.
    pub index: u64,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl LogEntry {
    pub(crate) fn says_something(&self) -> bool {
        self.body != EntryBody::Empty
    }

    /// Reads Raft's form, whose bytes were made by this process.
    pub(crate) fn from_raft(entry: &eraftpb::Entry) -> Result<Self, MalformedEntry> {
        let malformed = |reason| MalformedEntry { index: entry.index, reason };
        let body = match entry.get_entry_type() {
            EntryType::EntryNormal if entry.data.is_empty() => EntryBody::Empty,
            EntryType::EntryNormal => EntryBody::Command(entry.data.to_vec()),
            EntryType::EntryConfChangeV2 => {
                let change = postcard::from_bytes(&entry.context);
                EntryBody::Change(change.map_err(|_| malformed("unreadable membership change"))?)
            }
            EntryType::EntryConfChange => return Err(malformed("old form of a membership change")),
        };
        Ok(Self { index: entry.index, term: entry.term, body })
    }

    /// Writes Raft's form.
    pub(crate) fn to_raft(&self) -> Result<eraftpb::Entry, MalformedEntry> {
        let malformed = |reason| MalformedEntry { index: self.index, reason };
        let mut entry = eraftpb::Entry { index: self.index, term: self.term, ..Default::default() };
        match &self.body {
            EntryBody::Empty => {}
            EntryBody::Command(bytes) if bytes.is_empty() => return Err(malformed("empty command")),
            EntryBody::Command(bytes) if bytes.len() > ENTRY_BYTES_MAX => return Err(malformed("too large")),
            EntryBody::Command(bytes) => entry.data = bytes.clone().into(),
            EntryBody::Change(change) => {
                entry.set_entry_type(EntryType::EntryConfChangeV2);
                let bytes = conf_change(change).write_to_bytes();
                entry.data = bytes.map_err(|_| malformed("unwritable membership change"))?.into();
                entry.context = encode_change(change).into();
            }
        }
        Ok(entry)
    }
}

impl Ballot {
    pub(crate) fn from_raft(state: &eraftpb::HardState) -> Self {
        Self { term: state.term, vote: MemberId::new(state.vote), commit: state.commit }
    }

    pub(crate) fn to_raft(self) -> eraftpb::HardState {
        let vote = self.vote.map_or(0, MemberId::get);
        eraftpb::HardState { term: self.term, vote, commit: self.commit, ..Default::default() }
    }
}

/// Raft's form of a step of membership: who, and what becomes of it. Name and address travel beside it.
pub(crate) fn conf_change(change: &MembershipChange) -> ConfChangeV2 {
    let (kind, id) = match change {
        MembershipChange::AddLearner(member) => (ConfChangeType::AddLearnerNode, member.id),
        MembershipChange::Promote(id) => (ConfChangeType::AddNode, *id),
        MembershipChange::Remove(id) => (ConfChangeType::RemoveNode, *id),
    };
    let mut single = ConfChangeSingle { node_id: id.get(), ..Default::default() };
    single.set_change_type(kind);
    ConfChangeV2 { changes: vec![single].into(), ..Default::default() }
}

pub(crate) fn encode_change(change: &MembershipChange) -> Vec<u8> {
    postcard::to_allocvec(change).expect("a membership change has no part that cannot be encoded")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Member;

    #[test]
    fn an_entry_survives_the_way_through_raft() {
        let id = MemberId::new(7).unwrap();
        let member = Member { id, name: "a".into(), address: "x:1".into() };
        let bodies = [
            EntryBody::Empty,
            EntryBody::Command(b"do".to_vec()),
            EntryBody::Change(MembershipChange::AddLearner(member)),
            EntryBody::Change(MembershipChange::Promote(id)),
            EntryBody::Change(MembershipChange::Remove(id)),
        ];
        for body in bodies {
            let entry = LogEntry { index: 4, term: 2, body };
            assert_eq!(LogEntry::from_raft(&entry.to_raft().unwrap()), Ok(entry));
        }
    }
}
