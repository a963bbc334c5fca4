use std::collections::BTreeMap;

use crate::MemberId;
use crate::limits::{PROPOSALS_IN_FLIGHT_MAX, READS_IN_FLIGHT_MAX};

use super::command::{Command, Stamp};
use super::{ProposalId, ReadId};

/// Requests may run ahead of the oldest unanswered one by this many, since the answers in between are kept.
const ANSWERS_KEPT_MAX: u64 = 4 * PROPOSALS_IN_FLIGHT_MAX as u64;

/// What callers wait for. Everything in here is asked again until it is answered or given up.
pub(crate) struct Pending {
    member: MemberId,
    start: u64,
    last_id: u64,
    proposals: BTreeMap<u64, Proposal>,
    reads: BTreeMap<u64, Read>,
}

struct Proposal {
    body: Vec<u8>,
    /// The tick of the last attempt that Raft accepted; none means that it is due.
    asked_at: Option<u64>,
    may_have_left: bool,
}

struct Read {
    asked_at: Option<u64>,
    /// The index that the state must have reached, once a quorum has confirmed it.
    index: Option<u64>,
}

impl Pending {
    pub(crate) fn new(member: MemberId, start: u64) -> Self {
        Self { member, start, last_id: 0, proposals: BTreeMap::new(), reads: BTreeMap::new() }
    }

    /// Takes a request; `None` when there are too many.
    pub(crate) fn add_proposal(&mut self, body: Vec<u8>) -> Option<ProposalId> {
        let ahead = self.last_id + 1 - self.floor();
        if self.proposals.len() >= PROPOSALS_IN_FLIGHT_MAX || ahead >= ANSWERS_KEPT_MAX {
            return None;
        }
        self.last_id += 1;
        self.proposals.insert(self.last_id, Proposal { body, asked_at: None, may_have_left: false });
        Some(ProposalId(self.last_id))
    }

    pub(crate) fn add_read(&mut self) -> Option<ReadId> {
        if self.reads.len() >= READS_IN_FLIGHT_MAX {
            return None;
        }
        self.last_id += 1;
        self.reads.insert(self.last_id, Read { asked_at: None, index: None });
        Some(ReadId(self.last_id))
    }

    /// Gives a request up; whether it may have left this server.
    pub(crate) fn cancel_proposal(&mut self, id: ProposalId) -> bool {
        self.proposals.remove(&id.0).is_some_and(|proposal| proposal.may_have_left)
    }

    pub(crate) fn cancel_read(&mut self, id: ReadId) {
        self.reads.remove(&id.0);
    }

    /// Everything is to be asked again at once, for example of a new leader.
    pub(crate) fn ask_again(&mut self) {
        self.proposals.values_mut().for_each(|proposal| proposal.asked_at = None);
        self.reads.values_mut().for_each(|read| read.asked_at = None);
    }

    pub(crate) fn due_proposals(&self, now: u64, retry_ticks: u64) -> Vec<(ProposalId, Vec<u8>)> {
        let floor = self.floor();
        let due = self.proposals.iter().filter(|(_, proposal)| is_due(proposal.asked_at, now, retry_ticks));
        due.map(|(seq, proposal)| {
            let stamp = Stamp { member: self.member, start: self.start, seq: *seq, floor };
            (ProposalId(*seq), Command::Request { stamp, body: proposal.body.clone() }.encode())
        })
        .collect()
    }

    pub(crate) fn proposed(&mut self, id: ProposalId, now: u64) {
        if let Some(proposal) = self.proposals.get_mut(&id.0) {
            proposal.asked_at = Some(now);
            proposal.may_have_left = true;
        }
    }

    /// Reads that no quorum has confirmed, with the token to ask by: unique in the group, or the leader would take
    /// two members' reads for one.
    pub(crate) fn due_reads(&mut self, now: u64, retry_ticks: u64) -> Vec<Vec<u8>> {
        let (member, start) = (self.member, self.start);
        let waiting = self.reads.iter_mut().filter(|(_, read)| read.index.is_none());
        let due = waiting.filter(|(_, read)| is_due(read.asked_at, now, retry_ticks));
        due.map(|(id, read)| {
            read.asked_at = Some(now);
            token(member, start, *id)
        })
        .collect()
    }

    pub(crate) fn confirmed(&mut self, context: &[u8], index: u64) {
        let own = token(self.member, self.start, 0);
        let Some(id) = context.strip_prefix(&own[..16]).and_then(|id| id.try_into().ok()) else { return };
        if let Some(read) = self.reads.get_mut(&u64::from_be_bytes(id)) {
            read.index.get_or_insert(index);
        }
    }

    /// Reads whose index has been applied; each is returned once.
    pub(crate) fn take_ready_reads(&mut self, applied: u64) -> Vec<ReadId> {
        let ready = |read: &Read| read.index.is_some_and(|index| index <= applied);
        let taken = self.reads.extract_if(.., |_, read| ready(read));
        taken.map(|(id, _)| ReadId(id)).collect()
    }

    /// Requests to which there is an answer; each is returned once.
    pub(crate) fn take_answered<'a>(
        &mut self,
        answer: impl Fn(MemberId, u64, u64) -> Option<&'a [u8]>,
    ) -> Vec<(ProposalId, &'a [u8])> {
        let (member, start) = (self.member, self.start);
        let mut answered = Vec::new();
        self.proposals.retain(|seq, _| match answer(member, start, *seq) {
            Some(bytes) => {
                answered.push((ProposalId(*seq), bytes));
                false
            }
            None => true,
        });
        answered
    }

    fn floor(&self) -> u64 {
        self.proposals.keys().next().copied().unwrap_or(self.last_id + 1)
    }
}

fn is_due(asked_at: Option<u64>, now: u64, retry_ticks: u64) -> bool {
    asked_at.is_none_or(|at| now.saturating_sub(at) >= retry_ticks)
}

fn token(member: MemberId, start: u64, id: u64) -> Vec<u8> {
    [member.get(), start, id].map(u64::to_be_bytes).concat()
}
