use std::sync::Arc;

use crate::{Applied, MemberId, Membership, MembershipChange, RestoreError, StateMachine};

use super::command::{Command, Stamp};
use super::entry::Position;
use super::sessions::Sessions;
use super::snapshot::Snapshot;

/// Everything that is equal on all members at an equal index.
pub(crate) struct ReplicatedState<S> {
    machine: S,
    membership: Arc<Membership>,
    sessions: Sessions,
    applied: Position,
}

/// A committed entry that this version cannot carry out. Others may have, so going on would fork the state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot carry out the committed entry {index}: {reason}")]
pub struct ApplyError {
    /// Its index.
    pub index: u64,
    /// What is wrong with it.
    pub reason: String,
}

impl<S: StateMachine> ReplicatedState<S> {
    pub(crate) fn new(machine: S) -> Self {
        let (membership, sessions) = (Arc::default(), Sessions::default());
        Self { machine, membership, sessions, applied: Position::default() }
    }

    pub(crate) fn restore(&mut self, snapshot: &Snapshot) -> Result<(), RestoreError> {
        self.sessions = postcard::from_bytes(&snapshot.sessions).map_err(RestoreError::new)?;
        self.machine.restore(&snapshot.machine)?;
        self.membership = Arc::new(snapshot.membership.clone());
        self.applied = snapshot.position;
        Ok(())
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            position: self.applied,
            membership: Membership::clone(&self.membership),
            sessions: encode_sessions(&self.sessions),
            machine: self.machine.snapshot(),
        }
    }

    pub(crate) fn applied(&self) -> Position {
        self.applied
    }

    /// For a change that no entry of the log makes.
    pub(crate) fn machine_mut(&mut self) -> &mut S {
        &mut self.machine
    }

    pub(crate) fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The membership as it is now, to compare with a later one: nothing is copied until one changes.
    pub(crate) fn membership_now(&self) -> Arc<Membership> {
        Arc::clone(&self.membership)
    }

    pub(crate) fn view(&self) -> Applied<S::View> {
        Applied { index: self.applied.index, view: self.machine.view() }
    }

    /// The state for readers; [`None`] before the first.
    pub(crate) fn known_view(&self) -> Option<S::View> {
        (self.applied.index > 0).then(|| self.machine.view())
    }

    pub(crate) fn answer(&self, member: MemberId, start: u64, seq: u64) -> Option<&[u8]> {
        self.sessions.answer(member, start, seq)
    }

    /// Notes that an entry without effect on the state was passed.
    pub(crate) fn pass(&mut self, position: Position) {
        self.applied = position;
    }

    pub(crate) fn change(&mut self, change: &MembershipChange) {
        if Arc::make_mut(&mut self.membership).apply(change).is_ok()
            && let MembershipChange::Remove(id) = change
        {
            self.sessions.forget(*id);
        }
    }

    pub(crate) fn command(&mut self, index: u64, bytes: &[u8]) -> Result<(), ApplyError> {
        let failed = |reason: String| ApplyError { index, reason };
        match Command::decode(bytes).map_err(|error| failed(error.to_string()))? {
            Command::Request { stamp, body } => self.request(&stamp, &body).map_err(failed),
            Command::Move { id, address } => {
                Arc::make_mut(&mut self.membership).set_address(id, &address);
                Ok(())
            }
        }
    }

    /// A request of a member that left is passed over: its answers are forgotten, so nobody could tell a retry.
    fn request(&mut self, stamp: &Stamp, body: &[u8]) -> Result<(), String> {
        if self.membership.get(stamp.member).is_none() || !self.sessions.is_new(stamp) {
            return Ok(());
        }
        let request = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let outcome = self.machine.apply(&request);
        self.sessions.record(stamp, serde_json::to_vec(&outcome).map_err(|error| error.to_string())?);
        Ok(())
    }
}

fn encode_sessions(sessions: &Sessions) -> Vec<u8> {
    postcard::to_allocvec(sessions).expect("sessions have no part that cannot be encoded")
}

/// The sessions of a group in which nobody has proposed anything.
pub(crate) fn no_sessions() -> Vec<u8> {
    encode_sessions(&Sessions::default())
}
