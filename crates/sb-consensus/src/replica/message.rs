use raft::eraftpb::{self, MessageType};
use serde::{Deserialize, Serialize};

use crate::limits::{CONTEXT_BYTES_MAX, ENTRIES_PER_MESSAGE_MAX};
use crate::{Lane, MemberId};

use super::entry::LogEntry;
use super::snapshot::Snapshot;

/// What one replica tells another. The fields are Raft's (`eraftpb.proto` of the `raft` crate).
///
/// Peers' bytes become this type, are checked, and only then become Raft's own: the `protobuf` version that the
/// `raft` crate needs overflows the stack on hostile input (RUSTSEC-2024-0437), and the crate panics on messages
/// that no sound peer sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields' meaning is Raft's and depends on the kind")]
pub struct Message {
    pub kind: MessageKind,
    pub to: MemberId,
    pub from: MemberId,
    pub term: u64,
    pub log_term: u64,
    pub index: u64,
    pub entries: Vec<LogEntry>,
    pub commit: u64,
    pub commit_term: u64,
    pub snapshot: Option<Box<Snapshot>>,
    pub reject: bool,
    pub reject_hint: u64,
    pub context: Vec<u8>,
    pub priority: i64,
}

/// The kinds of message that travel; Raft's local kinds are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are Raft's")]
pub enum MessageKind {
    Propose,
    Append,
    AppendResponse,
    RequestVote,
    RequestVoteResponse,
    Snapshot,
    Heartbeat,
    HeartbeatResponse,
    TransferLeader,
    TimeoutNow,
    ReadIndex,
    ReadIndexResponse,
    RequestPreVote,
    RequestPreVoteResponse,
}

/// Terms and indexes beyond this are refused before adding to them could overflow.
const NUMBER_MAX: u64 = 1 << 62;

/// Raft's kinds beside ours.
const KINDS: [(MessageKind, MessageType); 14] = [
    (MessageKind::Propose, MessageType::MsgPropose),
    (MessageKind::Append, MessageType::MsgAppend),
    (MessageKind::AppendResponse, MessageType::MsgAppendResponse),
    (MessageKind::RequestVote, MessageType::MsgRequestVote),
    (MessageKind::RequestVoteResponse, MessageType::MsgRequestVoteResponse),
    (MessageKind::Snapshot, MessageType::MsgSnapshot),
    (MessageKind::Heartbeat, MessageType::MsgHeartbeat),
    (MessageKind::HeartbeatResponse, MessageType::MsgHeartbeatResponse),
    (MessageKind::TransferLeader, MessageType::MsgTransferLeader),
    (MessageKind::TimeoutNow, MessageType::MsgTimeoutNow),
    (MessageKind::ReadIndex, MessageType::MsgReadIndex),
    (MessageKind::ReadIndexResponse, MessageType::MsgReadIndexResp),
    (MessageKind::RequestPreVote, MessageType::MsgRequestPreVote),
    (MessageKind::RequestPreVoteResponse, MessageType::MsgRequestPreVoteResponse),
];

/// A message that no sound replica sends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind:?} {reason}")]
pub struct MalformedMessage {
    /// Its kind.
    pub kind: MessageKind,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Message {
    /// The connection that it takes: what carries entries or snapshots may be long.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match self.kind {
            MessageKind::Append | MessageKind::Snapshot | MessageKind::Propose => Lane::Bulk,
            _ => Lane::Urgent,
        }
    }

    /// Whether a sound replica could have sent it. What passes does not make the `raft` crate panic for its form.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn validate(&self) -> Result<(), MalformedMessage> {
        let local_term = matches!(self.kind, MessageKind::Propose | MessageKind::ReadIndex);
        let counted = match self.kind {
            MessageKind::Propose | MessageKind::ReadIndex | MessageKind::ReadIndexResponse => {
                self.entries.len() == 1
            }
            MessageKind::Append => self.entries.len() <= ENTRIES_PER_MESSAGE_MAX,
            _ => self.entries.is_empty(),
        };
        let place = self.kind != MessageKind::Append || self.has_sound_entries();
        let snapshot = match (self.kind, &self.snapshot) {
            (MessageKind::Snapshot, Some(snapshot)) => {
                snapshot.is_sound() && snapshot.position.term <= self.term
            }
            (MessageKind::Snapshot, None) | (_, Some(_)) => false,
            (_, None) => true,
        };
        let bounded = [self.term, self.index, self.commit, self.reject_hint].iter().all(|n| *n < NUMBER_MAX);
        let proposal = self.kind != MessageKind::Propose || self.entries.iter().all(LogEntry::says_something);
        let rules = [
            (local_term == (self.term == 0), "has a term where none belongs, or none where one does"),
            (bounded, "has a number that cannot be reached"),
            (counted, "has the wrong number of entries"),
            (place, "has entries out of order"),
            (proposal, "proposes nothing"),
            (snapshot, "has no sound snapshot, or one where none belongs"),
            (self.context.len() <= CONTEXT_BYTES_MAX, "has too long a context"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, reason)) => Err(MalformedMessage { kind: self.kind, reason }),
            None => Ok(()),
        }
    }

    /// Entries follow the place named before them without a gap, and terms do not fall.
    fn has_sound_entries(&self) -> bool {
        let mut index = self.index;
        let mut term = self.log_term;
        if (self.index == 0) != (self.log_term == 0) {
            return false;
        }
        self.entries.iter().all(|entry| {
            let next = Some(entry.index) == index.checked_add(1);
            let rises = entry.term >= term && entry.term <= self.term && entry.term > 0;
            (index, term) = (entry.index, entry.term);
            next && rises
        })
    }

    pub(crate) fn from_raft(message: &eraftpb::Message) -> Option<Self> {
        let kind = KINDS.iter().find(|(_, theirs)| *theirs == message.get_msg_type())?.0;
        let entries = message.get_entries().iter().map(LogEntry::from_raft).collect::<Result<Vec<_>, _>>();
        let snapshot = match kind {
            MessageKind::Snapshot => Some(Box::new(Snapshot::from_raft(message.get_snapshot()).ok()?)),
            _ => None,
        };
        Some(Self {
            kind,
            to: MemberId::new(message.to)?,
            from: MemberId::new(message.from)?,
            term: message.term,
            log_term: message.log_term,
            index: message.index,
            entries: entries.ok()?,
            commit: message.commit,
            commit_term: message.commit_term,
            snapshot,
            reject: message.reject,
            reject_hint: message.reject_hint,
            context: message.context.to_vec(),
            priority: message.priority,
        })
    }

    pub(crate) fn to_raft(&self) -> Result<eraftpb::Message, MalformedMessage> {
        let malformed = |reason| MalformedMessage { kind: self.kind, reason };
        let entries = self.entries.iter().map(LogEntry::to_raft).collect::<Result<Vec<_>, _>>();
        let kind = KINDS.iter().find(|(ours, _)| *ours == self.kind);
        let mut message = eraftpb::Message {
            to: self.to.get(),
            from: self.from.get(),
            term: self.term,
            log_term: self.log_term,
            index: self.index,
            entries: entries.map_err(|error| malformed(error.reason))?.into(),
            commit: self.commit,
            commit_term: self.commit_term,
            reject: self.reject,
            reject_hint: self.reject_hint,
            context: self.context.clone().into(),
            priority: self.priority,
            ..Default::default()
        };
        message.set_msg_type(kind.ok_or_else(|| malformed("has an unknown kind"))?.1);
        if let Some(snapshot) = &self.snapshot {
            message.set_snapshot(snapshot.to_raft());
        }
        Ok(message)
    }
}
