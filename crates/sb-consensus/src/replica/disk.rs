use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::entry::{Ballot, LogEntry, Position};
use super::snapshot::Snapshot;

/// Where a replica keeps what must survive a crash.
///
/// # To ensure correctness
///
/// * A call that returns `Ok` is durable: no crash or loss of power takes it back.
/// * A crash during a call leaves either what was there before or what is there after, and the next start can tell.
/// * [`DiskError::Full`] means that nothing changed. Every other error means that nothing is known any more; the
///   replica stops then and is never used again.
pub trait Disk: Send + 'static {
    /// Adds a record at the end of the log.
    ///
    /// # Errors
    ///
    /// [`DiskError`].
    fn append(&mut self, record: &Record) -> Result<(), DiskError>;

    /// Replaces the snapshot and the whole log: the snapshot first, then the log by one record with a base.
    ///
    /// # Errors
    ///
    /// [`DiskError`]. When it is [`DiskError::Full`] the new snapshot may be there already beside the old log,
    /// which [`DiskContent::assemble`] accepts.
    fn replace(&mut self, snapshot: &Snapshot, log: &Record) -> Result<(), DiskError>;

    /// Notes, as well as it can, that what is here must never be used again: acknowledged entries are missing.
    fn condemn(&mut self, reason: &str);
}

/// Why something is not durable.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// There is no room. Nothing changed.
    #[error("the disk is full")]
    Full,
    /// It failed; what is on disk is unknown until it is read anew.
    #[error("could not {what} `{}`", path.display())]
    Failed {
        /// The operation.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// What is made durable in one step.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Record {
    /// In the first record of a log: the place before its first entry.
    pub base: Option<Position>,
    /// Term, vote and commit index from now on.
    pub ballot: Ballot,
    /// Entries; the first of them replaces what was there from its index on.
    pub entries: Vec<LogEntry>,
}

/// What a disk holds at start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiskContent {
    /// The newest snapshot; none before a leader has sent one.
    pub snapshot: Option<Snapshot>,
    /// The place before the first entry of the log.
    pub base: Position,
    /// Term, vote, commit index.
    pub ballot: Ballot,
    /// The log after the base.
    pub entries: Vec<LogEntry>,
}

impl DiskContent {
    /// What the first voter of a new group begins with: a snapshot at index 1, so that everybody who joins later
    /// begins with a snapshot too and learns the membership from it.
    #[must_use]
    pub fn bootstrap(membership: crate::Membership, sessions: Vec<u8>, machine: Vec<u8>) -> Self {
        let position = Position { index: 1, term: 1 };
        Self {
            snapshot: Some(Snapshot { position, membership, sessions, machine }),
            base: position,
            ballot: Ballot { term: 1, vote: None, commit: 1 },
            entries: Vec::new(),
        }
    }

    /// The log as one record.
    #[must_use]
    pub fn log(&self) -> Record {
        Record { base: Some(self.base), ballot: self.ballot, entries: self.entries.clone() }
    }

    /// Puts a snapshot and the records of a log together, as they may have been left by a crash at any point.
    ///
    /// # Errors
    ///
    /// What contradicts itself; acknowledged entries may be missing then.
    pub fn assemble(snapshot: Option<Snapshot>, records: Vec<Record>) -> Result<Self, String> {
        let mut content = Self::default();
        for record in records {
            content.replay(record)?;
        }
        if let Some(snapshot) = &snapshot {
            content.reconcile(snapshot)?;
        }
        if content.ballot.commit > content.last().index {
            let (commit, last) = (content.ballot.commit, content.last().index);
            return Err(format!("entries up to {commit} were committed, the log ends at {last}"));
        }
        content.snapshot = snapshot;
        Ok(content)
    }

    fn last(&self) -> Position {
        let last = self.entries.last();
        last.map_or(self.base, |entry| Position { index: entry.index, term: entry.term })
    }

    fn replay(&mut self, record: Record) -> Result<(), String> {
        if let Some(base) = record.base {
            if *self != Self::default() {
                return Err("a second beginning in the middle of the log".into());
            }
            self.base = base;
        }
        if record.ballot.term < self.ballot.term {
            return Err(format!("the term falls from {} to {}", self.ballot.term, record.ballot.term));
        }
        self.ballot = record.ballot;
        for entry in record.entries {
            let last = self.last();
            if entry.index <= self.base.index || entry.index > last.index + 1 {
                return Err(format!("entry {} after entry {}", entry.index, last.index));
            }
            let keep = usize::try_from(entry.index - self.base.index - 1).unwrap_or(usize::MAX);
            self.entries.truncate(keep);
            self.entries.push(entry);
        }
        Ok(())
    }

    /// Brings the log in line with a snapshot that is newer: made from it, or received from a leader just before
    /// the crash.
    fn reconcile(&mut self, snapshot: &Snapshot) -> Result<(), String> {
        let at = snapshot.position;
        if at.index < self.base.index {
            return Err(format!(
                "the snapshot ends at {}, the log begins at {}",
                at.index,
                self.base.index + 1
            ));
        }
        let known = self.entries.iter().find(|entry| entry.index == at.index).map(|entry| entry.term);
        let same =
            if at.index == self.base.index { self.base.term == at.term } else { known == Some(at.term) };
        if !same {
            self.base = at;
            self.entries.clear();
        }
        if at.term > self.ballot.term {
            self.ballot = Ballot { term: at.term, vote: None, commit: at.index };
        }
        self.ballot.commit = self.ballot.commit.max(at.index);
        Ok(())
    }
}

/// A disk in memory, for simulations and tests. Clones share it, so it outlives the replica that wrote it.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk {
    inner: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    snapshot: Option<Snapshot>,
    records: Vec<Record>,
    full: bool,
    condemned: Option<String>,
}

impl MemoryDisk {
    /// A disk with this content.
    #[must_use]
    pub fn with(content: &DiskContent) -> Self {
        let disk = Self::default();
        disk.held(|held| {
            held.snapshot.clone_from(&content.snapshot);
            held.records = vec![content.log()];
        });
        disk
    }

    /// What a start finds.
    ///
    /// # Errors
    ///
    /// As [`DiskContent::assemble`].
    pub fn content(&self) -> Result<DiskContent, String> {
        self.held(|held| match &held.condemned {
            Some(reason) => Err(reason.clone()),
            None => DiskContent::assemble(held.snapshot.clone(), held.records.clone()),
        })
    }

    /// From now on there is no room.
    pub fn fill(&self) {
        self.held(|held| held.full = true);
    }

    /// From now on there is room.
    pub fn clear(&self) {
        self.held(|held| held.full = false);
    }

    fn held<T>(&self, look: impl FnOnce(&mut Held) -> T) -> T {
        look(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Disk for MemoryDisk {
    fn append(&mut self, record: &Record) -> Result<(), DiskError> {
        self.held(|held| {
            if held.full {
                return Err(DiskError::Full);
            }
            held.records.push(record.clone());
            Ok(())
        })
    }

    fn replace(&mut self, snapshot: &Snapshot, log: &Record) -> Result<(), DiskError> {
        self.held(|held| {
            if held.full {
                return Err(DiskError::Full);
            }
            held.snapshot = Some(snapshot.clone());
            held.records = vec![log.clone()];
            Ok(())
        })
    }

    fn condemn(&mut self, reason: &str) {
        self.held(|held| held.condemned = Some(reason.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::EntryBody;
    use super::*;
    use crate::{Member, MemberId, Membership};

    fn entry(index: u64, term: u64) -> LogEntry {
        LogEntry { index, term, body: EntryBody::Empty }
    }

    fn record(term: u64, commit: u64, entries: &[LogEntry]) -> Record {
        Record { base: None, ballot: Ballot { term, vote: None, commit }, entries: entries.to_vec() }
    }

    fn start() -> Record {
        Record { base: Some(Position { index: 1, term: 1 }), ..record(1, 1, &[]) }
    }

    fn snapshot(index: u64, term: u64) -> Snapshot {
        let id = MemberId::new(1).unwrap();
        let membership = Membership::single(Member { id, name: "a".into(), address: "x".into() });
        Snapshot { position: Position { index, term }, membership, sessions: vec![], machine: vec![] }
    }

    #[test]
    fn a_later_entry_replaces_the_tail_from_its_index_on() {
        let records = vec![
            start(),
            record(1, 1, &[entry(2, 1), entry(3, 1), entry(4, 1)]),
            record(2, 2, &[entry(3, 2)]),
        ];
        let content = DiskContent::assemble(Some(snapshot(1, 1)), records).unwrap();
        assert_eq!(content.entries, [entry(2, 1), entry(3, 2)]);
    }

    #[test]
    fn a_gap_is_refused() {
        let records = vec![start(), record(1, 1, &[entry(2, 1)]), record(1, 1, &[entry(4, 1)])];
        assert!(DiskContent::assemble(None, records).is_err());
    }

    #[test]
    fn committed_entries_that_are_missing_are_refused() {
        assert!(DiskContent::assemble(None, vec![start(), record(1, 5, &[entry(2, 1)])]).is_err());
    }

    #[test]
    fn a_snapshot_that_arrived_just_before_the_crash_replaces_an_older_log() {
        let records = vec![start(), record(2, 2, &[entry(2, 2)])];
        let content = DiskContent::assemble(Some(snapshot(9, 3)), records).unwrap();
        assert_eq!((content.base.index, content.entries.len()), (9, 0));
        assert_eq!(content.ballot, Ballot { term: 3, vote: None, commit: 9 });
    }

    #[test]
    fn a_snapshot_made_from_the_log_leaves_its_tail() {
        let records = vec![start(), record(1, 3, &[entry(2, 1), entry(3, 1), entry(4, 1)])];
        let content = DiskContent::assemble(Some(snapshot(3, 1)), records).unwrap();
        assert_eq!((content.base.index, content.entries.len(), content.ballot.commit), (1, 3, 3));
    }
}
