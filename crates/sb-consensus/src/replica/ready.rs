use raft::eraftpb::{self, Entry};
use raft::{Ready, Storage};

use crate::{MembershipChange, StateMachine};

use super::disk::{Disk, DiskError, Record};
use super::entry::{self, Ballot, EntryBody, LogEntry, Position};
use super::message::Message;
use super::snapshot::Snapshot;
use super::{Event, Halt, Outbox, Replica};

/// What became of an attempt to make something durable.
enum Persisted {
    Yes(Option<Snapshot>),
    NoRoom,
}

/// Raft's Ready contract, in its order: a leader's messages, then disk, then the other messages, then the state.
/// Nothing reaches Raft between `ready` and `advance`.
impl<S: StateMachine, D: Disk> Replica<S, D> {
    /// Does everything that is to be done: makes entries and votes durable, sends messages, applies what is
    /// committed. To be called after every step, tick or call, or after a few of them.
    ///
    /// # Errors
    ///
    /// [`Halt`]: the replica is to be dropped.
    pub fn settle(&mut self, outbox: &mut dyn Outbox) -> Result<(), Halt> {
        if let Some(ready) = self.stalled.take() {
            self.finish(*ready, outbox)?;
        }
        loop {
            while self.stalled.is_none() && self.node.has_ready() {
                let mut ready = self.node.ready();
                send(ready.take_messages(), outbox);
                self.finish(ready, outbox)?;
            }
            if self.stalled.is_some() {
                return Ok(());
            }
            self.follow_leader();
            self.provide_snapshot();
            self.compact()?;
            self.election.enforce(&mut self.node.raft);
            if !self.node.has_ready() {
                return Ok(());
            }
        }
    }

    fn finish(&mut self, mut ready: Ready, outbox: &mut dyn Outbox) -> Result<(), Halt> {
        let installed = match self.persist(&ready)? {
            Persisted::Yes(installed) => installed,
            Persisted::NoRoom => {
                self.stalled = Some(Box::new(ready));
                return Ok(());
            }
        };
        if let Some(snapshot) = &installed {
            self.state.restore(snapshot)?;
        }
        for read in ready.take_read_states() {
            self.pending.confirmed(&read.request_ctx, read.index);
        }
        send(ready.take_persisted_messages(), outbox);
        let membership = self.state.membership_now();
        let mut changed = self.apply(&ready.take_committed_entries())? || installed.is_some();
        let mut light = self.node.advance(ready);
        if let Some(commit) = light.commit_index() {
            self.ballot.commit = commit;
        }
        send(light.take_messages(), outbox);
        changed |= self.apply(&light.take_committed_entries())?;
        self.node.advance_apply();
        if self.state.membership_now() != membership {
            self.remember_membership()?;
        }
        self.publish(changed)
    }

    /// A member that acted on a membership must know after a crash that it was committed: with the older one it might
    /// wait for ever for the vote of somebody who has left since. Without room this is as good as it gets.
    fn remember_membership(&mut self) -> Result<(), Halt> {
        match self.disk.append(&Record { base: None, ballot: self.ballot, entries: Vec::new() }) {
            Ok(()) | Err(DiskError::Full) => Ok(()),
            Err(error) => Err(Halt::Disk(error)),
        }
    }

    /// Makes entries, vote and snapshot durable. A commit index alone is not worth an fsync: it is found again.
    fn persist(&mut self, ready: &Ready) -> Result<Persisted, Halt> {
        let ballot = ready.hs().map_or(self.ballot, Ballot::from_raft);
        let entries = ready.entries().iter().map(LogEntry::from_raft).collect::<Result<Vec<_>, _>>();
        let entries = entries.map_err(|error| Halt::Raft(error.to_string()))?;
        let mut installed = None;
        let written = if !ready.snapshot().is_empty() {
            let snapshot = Snapshot::from_raft(ready.snapshot());
            let snapshot = snapshot.map_err(|error| Halt::Raft(error.to_string()))?;
            let log = Record { base: Some(snapshot.position), ballot, entries };
            let written = self.disk.replace(&snapshot, &log);
            installed = Some(snapshot);
            written
        } else if ready.must_sync() {
            self.disk.append(&Record { base: None, ballot, entries })
        } else {
            Ok(())
        };
        match written {
            Ok(()) => {}
            Err(DiskError::Full) => return Ok(Persisted::NoRoom),
            Err(error) => return Err(Halt::Disk(error)),
        }
        self.ballot = ballot;
        if let Some(snapshot) = &installed {
            self.snapshot_at = snapshot.position.index;
            self.node.mut_store().install(snapshot.clone());
        }
        self.node.mut_store().append(ready.entries());
        Ok(Persisted::Yes(installed))
    }

    /// Carries committed entries out; whether the state may have changed.
    fn apply(&mut self, entries: &[Entry]) -> Result<bool, Halt> {
        let mut changed = false;
        for raw in entries {
            let entry = LogEntry::from_raft(raw).map_err(|error| Halt::Raft(error.to_string()))?;
            match &entry.body {
                EntryBody::Empty => {}
                EntryBody::Command(bytes) => {
                    self.state.command(entry.index, bytes)?;
                    changed = true;
                }
                EntryBody::Change(change) => self.apply_change(change)?,
            }
            self.state.pass(Position { index: entry.index, term: entry.term });
        }
        Ok(changed)
    }

    /// A change that is against the rules is passed over by every member alike.
    fn apply_change(&mut self, change: &MembershipChange) -> Result<(), Halt> {
        if self.state.membership().check(change).is_err() {
            return Ok(());
        }
        let applied = self.node.apply_conf_change(&entry::conf_change(change));
        applied.map_err(|error| Halt::Raft(error.to_string()))?;
        self.state.change(change);
        let members = self.state.membership();
        self.heard.retain(|id, _| members.get(*id).is_some());
        Ok(())
    }

    /// First the state, then the answers that are part of it.
    fn publish(&mut self, changed: bool) -> Result<(), Halt> {
        if changed {
            self.events.push_back(Event::Applied(self.state.view()));
        }
        let state = &self.state;
        for (id, answer) in self.pending.take_answered(|member, start, seq| state.answer(member, start, seq))
        {
            let outcome = serde_json::from_slice(answer);
            let outcome = outcome.map_err(|error| Halt::Raft(format!("unreadable answer: {error}")))?;
            self.events.push_back(Event::Answered { id, outcome });
        }
        for id in self.pending.take_ready_reads(self.state.applied().index) {
            self.events.push_back(Event::Read { id, view: self.state.view().view });
        }
        Ok(())
    }

    /// A new leader knows nothing of what the old one was asked.
    fn follow_leader(&mut self) {
        let leader = self.node.raft.leader_id;
        if self.followed != leader {
            self.followed = leader;
            self.pending.ask_again();
            self.offer();
        }
    }

    /// Raft asked for a snapshot: a member is behind the log, or the one at hand does not know that member yet.
    fn provide_snapshot(&mut self) {
        if self.node.store().snapshot_wanted() && self.state.applied().index > 0 {
            let snapshot = self.state.snapshot();
            self.node.mut_store().offer(snapshot);
            if self.is_leader() {
                self.node.raft.bcast_append();
            }
        }
    }

    /// Replaces the log by a snapshot and a short tail. Without room it goes on with the long log.
    fn compact(&mut self) -> Result<(), Halt> {
        let applied = self.state.applied().index;
        if applied < self.snapshot_at + self.settings.snapshot_every_entries {
            return Ok(());
        }
        let snapshot = self.state.snapshot();
        if !snapshot.is_sound() {
            // Too large to be read back: the long log is the better copy.
            self.snapshot_at = applied;
            return Ok(());
        }
        let log = self.node.store();
        let first = applied.saturating_sub(self.settings.log_tail_entries).max(log.base().index);
        let term = log.term(first).map_err(|error| Halt::Raft(error.to_string()))?;
        let entries = log.tail(first).iter().map(LogEntry::from_raft).collect::<Result<Vec<_>, _>>();
        let entries = entries.map_err(|error| Halt::Raft(error.to_string()))?;
        let base = Some(Position { index: first, term });
        match self.disk.replace(&snapshot, &Record { base, ballot: self.ballot, entries }) {
            Ok(()) => {
                self.node.mut_store().compact(first);
                self.node.mut_store().offer(snapshot);
            }
            Err(DiskError::Full) => {}
            Err(error) => return Err(Halt::Disk(error)),
        }
        self.snapshot_at = applied;
        Ok(())
    }
}

/// Messages that this crate would not have sent are Raft's own affair and stay here.
fn send(messages: Vec<eraftpb::Message>, outbox: &mut dyn Outbox) {
    messages.iter().filter_map(Message::from_raft).for_each(|message| outbox.send(message));
}
