use crate::{Member, RestoreError, StateMachine};

use super::disk::DiskContent;
use super::entry::{Ballot, EntryBody, Position};
use super::snapshot::Snapshot;
use super::state::{ApplyError, ReplicatedState, no_sessions};

/// Why the state that a disk holds cannot be told.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReplayError {
    /// The snapshot cannot be read.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// An entry cannot be carried out.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// Why one member's disk cannot become the beginning of a group of its own.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SuccessionError<E> {
    /// What is there cannot be read.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// It knows no group that its server belongs to.
    #[error("`{name}` is not in the group that its disk knows")]
    NotAMember {
        /// The server.
        name: String,
    },
    /// The embedder's last change was refused.
    #[error("the state machine refused the change")]
    Refused(E),
}

impl DiskContent {
    /// What the disk of `sole`, the only member that is left, is to hold so that it is a group of its own.
    ///
    /// The whole log is applied, also what this member does not know to be committed: an entry that its proposer was
    /// answered may be known as such to lost members only. Then the state machine takes a last change, in the same
    /// step: there is no state in between. Every id of the old group counts as removed, the own one too, so that
    /// nobody of it is heard again; the answers kept for them go.
    pub(crate) fn succeed<S: StateMachine, E>(
        &self,
        machine: S,
        sole: &Member,
        change: impl FnOnce(&mut S) -> Result<(), E>,
    ) -> Result<Self, SuccessionError<E>> {
        let mut state = self.replay_all(machine)?;
        let last = state.applied();
        if state.membership().by_name(&sole.name).is_none() {
            return Err(SuccessionError::NotAMember { name: sole.name.clone() });
        }
        let membership = state.membership().succeeded_by(sole.clone());
        change(state.machine_mut()).map_err(SuccessionError::Refused)?;
        let term = self.ballot.term.max(last.term) + 1;
        let position = Position { index: last.index + 1, term };
        Ok(Self {
            snapshot: Some(Snapshot {
                position,
                membership,
                sessions: no_sessions(),
                machine: state.snapshot().machine,
            }),
            base: position,
            ballot: Ballot { term, vote: None, commit: position.index },
            entries: Vec::new(),
        })
    }

    /// The state after every entry that is here.
    pub(crate) fn replay_all<S: StateMachine>(&self, machine: S) -> Result<ReplicatedState<S>, ReplayError> {
        let mut state = ReplicatedState::new(machine);
        if let Some(snapshot) = &self.snapshot {
            state.restore(snapshot)?;
        }
        let known = state.applied().index;
        for entry in self.entries.iter().filter(|entry| entry.index > known) {
            match &entry.body {
                EntryBody::Empty => {}
                EntryBody::Command(bytes) => state.command(entry.index, bytes)?,
                EntryBody::Change(change) => state.change(change),
            }
            state.pass(Position { index: entry.index, term: entry.term });
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::{Command, Stamp};
    use super::super::entry::LogEntry;
    use super::*;
    use crate::{MemberId, Membership, MembershipChange};

    #[derive(Default)]
    struct Sum(u64);

    impl StateMachine for Sum {
        type Request = u64;
        type Outcome = u64;
        type View = u64;

        fn apply(&mut self, request: &u64) -> u64 {
            self.0 += request;
            self.0
        }

        fn view(&self) -> u64 {
            self.0
        }

        fn snapshot(&self) -> Vec<u8> {
            self.0.to_le_bytes().to_vec()
        }

        fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
            self.0 = u64::from_le_bytes(bytes.try_into().map_err(RestoreError::new)?);
            Ok(())
        }
    }

    fn member(id: u64, name: &str) -> Member {
        Member { id: MemberId::new(id).unwrap(), name: name.into(), address: format!("{name}:1") }
    }

    fn add(index: u64, seq: u64, number: u64) -> LogEntry {
        let stamp = Stamp { member: MemberId::new(1).unwrap(), start: 1, seq, floor: 1 };
        let command = Command::Request { stamp, body: number.to_string().into_bytes() };
        LogEntry { index, term: 3, body: EntryBody::Command(command.encode()) }
    }

    /// Three voters; two requests in the log, of which only the first is known to be committed.
    fn survivor() -> DiskContent {
        let mut group = Membership::single(member(1, "a"));
        for (id, name) in [(2, "b"), (3, "c")] {
            group.apply(&MembershipChange::AddLearner(member(id, name))).unwrap();
            group.apply(&MembershipChange::Promote(MemberId::new(id).unwrap())).unwrap();
        }
        let mut content = DiskContent::bootstrap(group, no_sessions(), Sum(10).snapshot());
        content.entries = vec![add(2, 1, 5), add(3, 2, 7)];
        content.ballot = Ballot { term: 4, vote: MemberId::new(3), commit: 2 };
        content
    }

    fn succeed(content: &DiskContent, sole: &Member) -> Result<DiskContent, SuccessionError<&'static str>> {
        content.succeed(Sum::default(), sole, |sum| {
            sum.0 *= 2;
            Ok(())
        })
    }

    #[test]
    fn the_whole_log_counts_and_the_last_change_is_part_of_the_new_beginning() {
        let after = succeed(&survivor(), &member(9, "b")).unwrap();
        let snapshot = after.snapshot.clone().unwrap();
        assert_eq!(snapshot.machine, Sum(2 * (10 + 5 + 7)).snapshot());
        assert_eq!(snapshot.position, Position { index: 4, term: 5 });
        assert_eq!(DiskContent::assemble(after.snapshot.clone(), vec![after.log()]), Ok(after));
    }

    #[test]
    fn the_only_member_is_new_and_every_id_of_the_old_group_has_left() {
        let after = succeed(&survivor(), &member(9, "b")).unwrap();
        let group = after.snapshot.unwrap().membership;
        assert!(group.is_sound() && group.is_voter(MemberId::new(9).unwrap()));
        assert_eq!(group.members().count(), 1);
        assert!([1, 2, 3].iter().all(|id| group.was_removed(MemberId::new(*id).unwrap())));
    }

    #[test]
    fn a_refused_change_and_a_stranger_make_no_group() {
        let refused = survivor().succeed(Sum::default(), &member(9, "b"), |_| Err("no"));
        assert_eq!(refused, Err(SuccessionError::Refused("no")));
        let stranger = succeed(&survivor(), &member(9, "x"));
        assert_eq!(stranger, Err(SuccessionError::NotAMember { name: "x".into() }));
        let outsider = succeed(&DiskContent::default(), &member(9, "b"));
        assert_eq!(outsider, Err(SuccessionError::NotAMember { name: "b".into() }));
    }
}
