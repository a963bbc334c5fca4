//! The Raft backend without threads, clocks, files or sockets.
//!
//! [`Replica`] is stepped by messages, ticks and calls, and then [settled](Replica::settle): it makes things durable
//! on its [`Disk`], hands messages to an [`Outbox`] and leaves [`Event`]s. One thread drives it in production, a
//! simulator in tests; the same seed and the same steps give the same run.

mod admission;
mod command;
mod disk;
mod election;
mod entry;
mod health;
mod log;
mod message;
mod pending;
mod ready;
mod recovery;
mod sessions;
mod snapshot;
mod state;

use std::collections::{BTreeMap, VecDeque};

use raft::{RawNode, SnapshotStatus, StateRole};

use crate::limits::{
    APPENDS_IN_FLIGHT_MAX, MESSAGE_BYTES_SOFT_MAX, REQUEST_BYTES_MAX, UNCOMMITTED_BYTES_MAX,
};
use crate::{
    Applied, ChangeRejected, DiskHealth, Member, MemberId, Membership, MembershipChange, OpenError,
    ProposeError, ReadError, RestoreError, Role, StateMachine,
};

use self::election::ElectionTimeout;
use self::log::Log;
use self::pending::Pending;

pub(crate) use self::command::{Command, Stamp};
pub use self::disk::{Disk, DiskContent, DiskError, MemoryDisk, Record};
pub use self::entry::{Ballot, EntryBody, LogEntry, MalformedEntry, Position};
pub use self::health::ReplicaHealth;
pub use self::message::{MalformedMessage, Message, MessageKind};
pub(crate) use self::recovery::{ReplayError, SuccessionError};
pub use self::snapshot::Snapshot;
pub use self::state::ApplyError;
pub(crate) use self::state::{ReplicatedState, no_sessions};

/// A snapshot that was not acknowledged after this many election timeouts is sent again.
const SNAPSHOT_RETRY_ELECTIONS: u64 = 4;

/// One member's replica.
pub struct Replica<S: StateMachine, D> {
    settings: ReplicaSettings,
    node: RawNode<Log>,
    disk: D,
    ballot: Ballot,
    state: ReplicatedState<S>,
    pending: Pending,
    events: VecDeque<Event<S>>,
    election: ElectionTimeout,
    /// Ticks since the start.
    now: u64,
    /// The tick at which this member asked last whether others would vote for it.
    asked_for_votes: Option<u64>,
    /// The tick of the last message from each member.
    heard: BTreeMap<MemberId, u64>,
    /// Since when a snapshot has been under way to a member.
    snapshots: BTreeMap<u64, u64>,
    /// What could not be made durable for want of room; nothing else happens until it is.
    stalled: Option<Box<raft::Ready>>,
    followed: u64,
    snapshot_at: u64,
}

/// How a replica runs.
#[derive(Debug, Clone)]
pub struct ReplicaSettings {
    /// This member.
    pub member: Member,
    /// Which start of it: larger than all before, or retries would be taken for those of an earlier one.
    pub start: u64,
    /// Ticks between a leader's heartbeats.
    pub heartbeat_ticks: u32,
    /// The shortest election timeout in ticks.
    pub election_min_ticks: u32,
    /// The longest, exclusive.
    pub election_max_ticks: u32,
    /// Entries after which a snapshot is taken.
    pub snapshot_every_entries: u64,
    /// Entries before a snapshot that stay in the log.
    pub log_tail_entries: u64,
}

/// Takes messages away. Losing, delaying, repeating and reordering them is allowed.
pub trait Outbox {
    /// Takes one message.
    fn send(&mut self, message: Message);
}

impl Outbox for Vec<Message> {
    fn send(&mut self, message: Message) {
        self.push(message);
    }
}

/// A proposal that was taken and has no answer yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProposalId(pub(crate) u64);

/// A linearizable read that was taken and has no answer yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub(crate) u64);

/// What a replica has to say. Answers come after the state that they are part of.
pub enum Event<S: StateMachine> {
    /// The state has changed.
    Applied(Applied<S::View>),
    /// A proposal was applied here.
    Answered {
        /// Which.
        id: ProposalId,
        /// What came of it.
        outcome: S::Outcome,
    },
    /// A read is answered.
    Read {
        /// Which.
        id: ReadId,
        /// The state.
        view: S::View,
    },
}

/// A replica that doubts itself. It takes part in nothing from then on and is to be dropped.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// The disk failed.
    #[error(transparent)]
    Disk(DiskError),
    /// The leader holds this member's acknowledgement of an entry that is not in its log: the directory was restored
    /// from an older copy, or lost its end. It must not vote again under this id.
    #[error("`{leader}` knows that this member held entry {acknowledged}, but its log ends at {last}")]
    LostEntries {
        /// The leader's name or id.
        leader: String,
        /// What this member acknowledged.
        acknowledged: u64,
        /// What it has.
        last: u64,
    },
    /// A committed entry cannot be carried out.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A leader's snapshot cannot be read.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// An invariant of Raft is broken.
    #[error("Raft is inconsistent: {0}")]
    Raft(String),
}

impl<S: StateMachine, D: Disk> Replica<S, D> {
    /// What the disk of a new group's first voter is to hold before [`open`](Self::open).
    #[must_use]
    pub fn bootstrap(member: &Member, machine: &S) -> DiskContent {
        DiskContent::bootstrap(Membership::single(member.clone()), state::no_sessions(), machine.snapshot())
    }

    /// A replica that goes on where its disk ends. `randomness` decides the election timeouts.
    ///
    /// # Errors
    ///
    /// [`OpenError::Restore`] or [`OpenError::Raft`] when this version cannot go on from there.
    pub fn open(
        settings: ReplicaSettings,
        machine: S,
        disk: D,
        content: &DiskContent,
        randomness: impl FnMut() -> u64 + Send + 'static,
    ) -> Result<Self, OpenError> {
        let mut state = ReplicatedState::new(machine);
        if let Some(snapshot) = &content.snapshot {
            state.restore(snapshot)?;
        }
        let refused = |reason: &dyn std::fmt::Display| OpenError::Raft { reason: reason.to_string() };
        let log = Log::new(content).map_err(|error| refused(&error))?;
        let config = raft_config(&settings, state.applied().index);
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&config, log, &logger).map_err(|error| refused(&error))?;
        let election = ElectionTimeout::new(
            settings.election_min_ticks,
            settings.election_max_ticks,
            Box::new(randomness),
        );
        let mut replica = Self {
            pending: Pending::new(settings.member.id, settings.start),
            snapshot_at: state.applied().index,
            ballot: content.ballot,
            settings,
            node,
            disk,
            state,
            events: VecDeque::new(),
            election,
            now: 0,
            asked_for_votes: None,
            heard: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            stalled: None,
            followed: 0,
        };
        replica.election.enforce(&mut replica.node.raft);
        replica.campaign_when_alone();
        Ok(replica)
    }

    /// One unit of time has passed.
    pub fn tick(&mut self) {
        self.now += 1;
        if self.stalled.is_some() {
            return;
        }
        self.node.tick();
        self.ask_for_votes_again();
        self.give_up_on_lost_snapshots();
        self.offer();
        self.election.enforce(&mut self.node.raft);
    }

    /// A peer's message has arrived. What is malformed, not addressed to this member or from somebody who left is
    /// dropped; so is everything while the disk is full.
    ///
    /// # Errors
    ///
    /// [`Halt::LostEntries`].
    pub fn step(&mut self, message: &Message) -> Result<(), Halt> {
        if self.stalled.is_some() {
            return Ok(());
        }
        if !self.accepts(message) {
            self.election.enforce(&mut self.node.raft);
            return Ok(());
        }
        if let Err(halt) = self.check_nothing_lost(message) {
            self.disk.condemn(&halt.to_string());
            return Err(halt);
        }
        if self.state.membership().get(message.from).is_some() || self.state.membership().is_empty() {
            self.heard.insert(message.from, self.now);
        }
        if let Ok(message) = message.to_raft() {
            // Errors of a step mean that the message had no effect.
            let _ = self.node.step(message);
        }
        self.election.enforce(&mut self.node.raft);
        Ok(())
    }

    /// Takes a request. It is proposed, and proposed again after losses, until it is answered or cancelled.
    ///
    /// # Errors
    ///
    /// [`ProposeError::Overloaded`], [`ProposeError::TooLarge`] or [`ProposeError::Unencodable`]: nothing was taken.
    pub fn propose(&mut self, request: &S::Request) -> Result<ProposalId, ProposeError> {
        let unencodable = |error: serde_json::Error| ProposeError::Unencodable { reason: error.to_string() };
        let body = serde_json::to_vec(request).map_err(unencodable)?;
        if body.len() > REQUEST_BYTES_MAX {
            return Err(ProposeError::TooLarge { bytes: body.len() });
        }
        let id = self.pending.add_proposal(body).ok_or(ProposeError::Overloaded)?;
        self.offer();
        Ok(id)
    }

    /// Gives a request up. Returns whether it may have left this member: it may be applied later then.
    pub fn cancel_proposal(&mut self, id: ProposalId) -> bool {
        self.pending.cancel_proposal(id)
    }

    /// Takes a linearizable read.
    ///
    /// # Errors
    ///
    /// [`ReadError::Overloaded`].
    pub fn read(&mut self) -> Result<ReadId, ReadError> {
        let id = self.pending.add_read().ok_or(ReadError::Overloaded)?;
        self.offer();
        Ok(id)
    }

    /// Gives a read up.
    pub fn cancel_read(&mut self, id: ReadId) {
        self.pending.cancel_read(id);
    }

    /// Asks for a change of membership. It may come to nothing without a word (no leader, another change under way,
    /// a learner that lags): look at [`membership`](Self::membership) and ask again.
    ///
    /// # Errors
    ///
    /// The rule of membership that is against it, as far as this member has applied.
    pub fn change(&mut self, change: &MembershipChange) -> Result<(), ChangeRejected> {
        self.state.membership().check(change)?;
        if self.stalled.is_some() {
            return Ok(());
        }
        self.make_way_for(change);
        if self.admits(change) {
            let change_v2 = entry::conf_change(change);
            let _ = self.node.propose_conf_change(entry::encode_change(change), change_v2);
        }
        Ok(())
    }

    /// Notes in the group where this member is now, when the group knows another address.
    pub fn announce_address(&mut self) {
        let Member { id, address, .. } = &self.settings.member;
        let known = self.state.membership().get(*id);
        if self.stalled.is_none() && known.is_some_and(|known| known.address != *address) {
            let command = command::Command::Move { id: *id, address: address.clone() };
            let _ = self.node.propose(Vec::new(), command.encode());
        }
    }

    /// Asks the leader to hand over to a voter. It may come to nothing: look at who leads and ask again.
    pub fn transfer_leadership(&mut self, to: MemberId) {
        let possible = !self.is_leader() || self.may_hand_over_to(to);
        if possible && self.stalled.is_none() && self.state.membership().is_voter(to) {
            self.node.transfer_leader(to.get());
        }
    }

    /// The voter that lacks the least and was heard from lately; for a leader that wants to hand over.
    #[must_use]
    pub fn best_successor(&self) -> Option<MemberId> {
        let raft = &self.node.raft;
        let others = self.state.membership().voters().filter(|voter| voter.id.get() != raft.id);
        let near = others.filter(|voter| self.may_hand_over_to(voter.id));
        let progress = near.filter_map(|voter| Some((raft.prs().get(voter.id.get())?.matched, voter.id)));
        progress.max().map(|(_, id)| id)
    }

    /// Whether no other voter was heard from within an election's time: nobody could take over from a leader.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        let limit = u64::from(self.settings.election_min_ticks);
        let mut others = self.state.membership().voters().filter(|voter| voter.id.get() != self.node.raft.id);
        !others.any(|voter| self.contact_age(voter.id).is_some_and(|age| age <= limit))
    }

    /// Makes the commit index durable as far as possible, so that the next start shows this state at once.
    pub fn close(&mut self) {
        if self.stalled.is_none() {
            // Without it the next start finds the index again from the leader.
            let _ = self.disk.append(&Record { base: None, ballot: self.ballot, entries: Vec::new() });
        }
    }

    /// What has happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event<S>> {
        self.events.pop_front()
    }

    /// This member.
    #[must_use]
    pub fn member(&self) -> &Member {
        &self.settings.member
    }

    /// Who belongs to the group, as far as applied here.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        self.state.membership()
    }

    /// The state, as far as applied here.
    #[must_use]
    pub fn view(&self) -> Applied<S::View> {
        self.state.view()
    }

    /// Whether this member orders the requests.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.node.raft.state == StateRole::Leader && self.stalled.is_none()
    }

    /// Questions before an election, or their answers, may be lost, and who has just heard of a leader says no. They
    /// change nothing, so they are asked again before a new election would be due; not sooner, because answers that
    /// come between two times do not add up.
    fn ask_for_votes_again(&mut self) {
        let since = match (self.node.raft.state, self.asked_for_votes) {
            (StateRole::PreCandidate, Some(since)) => since,
            (StateRole::PreCandidate, None) => *self.asked_for_votes.insert(self.now),
            (StateRole::Follower | StateRole::Candidate | StateRole::Leader, _) => {
                self.asked_for_votes = None;
                return;
            }
        };
        if self.now >= since + u64::from(self.settings.election_min_ticks).div_ceil(2) {
            self.asked_for_votes = Some(self.now);
            let _ = self.node.campaign();
        }
    }

    /// A single voter has nobody to wait for.
    fn campaign_when_alone(&mut self) {
        let membership = self.state.membership();
        if membership.voters().len() == 1 && membership.is_voter(self.settings.member.id) {
            let _ = self.node.campaign();
            self.election.enforce(&mut self.node.raft);
        }
    }

    /// Asks Raft for everything that is due. Raft drops it without a leader; it stays due then.
    fn offer(&mut self) {
        if self.stalled.is_some() || self.node.raft.leader_id == raft::INVALID_ID {
            return;
        }
        let retry_ticks = u64::from(self.settings.election_min_ticks).div_ceil(2);
        for (id, command) in self.pending.due_proposals(self.now, retry_ticks) {
            if self.node.propose(Vec::new(), command).is_ok() {
                self.pending.proposed(id, self.now);
            }
        }
        // A new leader answers no reads before its own first entry is committed; asking earlier only costs a retry.
        if self.node.raft.state != StateRole::Leader || self.node.raft.commit_to_current_term() {
            for context in self.pending.due_reads(self.now, retry_ticks) {
                self.node.read_index(context);
            }
        }
    }

    /// Raft waits for the answer to a snapshot for ever; a lost one must be sent again. Only a leader sends any.
    fn give_up_on_lost_snapshots(&mut self) {
        if self.node.raft.state != StateRole::Leader {
            return self.snapshots.clear();
        }
        let limit = SNAPSHOT_RETRY_ELECTIONS * u64::from(self.settings.election_max_ticks);
        let raft = &self.node.raft;
        let under_way = |id: u64| {
            raft.prs().get(id).is_some_and(|progress| progress.state == raft::ProgressState::Snapshot)
        };
        let peers = self.state.membership().members().map(|member| member.id.get());
        let now: Vec<u64> = peers.filter(|id| under_way(*id)).collect();
        self.snapshots.retain(|id, _| now.contains(id));
        for id in now {
            let since = *self.snapshots.entry(id).or_insert(self.now);
            if self.now - since >= limit {
                self.snapshots.remove(&id);
                self.node.report_snapshot(id, SnapshotStatus::Failure);
            }
        }
    }

    fn role(&self) -> Role {
        let id = self.settings.member.id;
        let membership = self.state.membership();
        match self.node.raft.state {
            _ if membership.is_empty() => Role::Outsider,
            _ if membership.get(id).is_none() => Role::Removed,
            _ if membership.is_learner(id) => Role::Learner,
            _ if self.stalled.is_some() => Role::Follower,
            StateRole::Follower => Role::Follower,
            StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
            StateRole::Leader => Role::Leader,
        }
    }

    fn disk_health(&self) -> DiskHealth {
        if self.stalled.is_some() { DiskHealth::Full } else { DiskHealth::Ok }
    }
}

fn raft_config(settings: &ReplicaSettings, applied: u64) -> raft::Config {
    raft::Config {
        id: settings.member.id.get(),
        election_tick: settings.election_min_ticks as usize,
        min_election_tick: settings.election_min_ticks as usize,
        max_election_tick: settings.election_max_ticks as usize,
        heartbeat_tick: settings.heartbeat_ticks as usize,
        applied,
        max_size_per_msg: MESSAGE_BYTES_SOFT_MAX,
        max_inflight_msgs: APPENDS_IN_FLIGHT_MAX,
        check_quorum: true,
        pre_vote: true,
        max_uncommitted_size: UNCOMMITTED_BYTES_MAX,
        ..raft::Config::default()
    }
}
