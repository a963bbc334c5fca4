use std::cell::Cell;

use raft::eraftpb::{ConfState, Entry, Snapshot as RaftSnapshot};
use raft::util::limit_size;
use raft::{Error, GetEntriesContext, RaftState, Storage, StorageError};

use super::disk::DiskContent;
use super::entry::{LogEntry, MalformedEntry, Position};
use super::snapshot::{Snapshot, conf_state};

/// The log in memory: everything in it is durable already. Raft reads from here.
///
/// A few thousand small entries; keeping them twice is cheaper than reading them back.
pub(crate) struct Log {
    base: Position,
    entries: Vec<Entry>,
    initial: RaftState,
    snapshot: Option<Snapshot>,
    snapshot_wanted: Cell<bool>,
}

impl Log {
    pub(crate) fn new(content: &DiskContent) -> Result<Self, MalformedEntry> {
        let membership = content.snapshot.as_ref().map(|snapshot| &snapshot.membership);
        let conf_state = membership.map_or_else(ConfState::default, conf_state);
        Ok(Self {
            base: content.base,
            entries: content.entries.iter().map(LogEntry::to_raft).collect::<Result<_, _>>()?,
            initial: RaftState::new(content.ballot.to_raft(), conf_state),
            snapshot: content.snapshot.clone(),
            snapshot_wanted: Cell::new(false),
        })
    }

    /// Adds entries; the first of them replaces what was there from its index on.
    pub(crate) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        let keep = self.offset(first.index).expect("Raft appends after the base without a gap");
        self.entries.truncate(keep);
        self.entries.extend_from_slice(entries);
    }

    /// Forgets everything: a snapshot from the leader stands for it.
    pub(crate) fn install(&mut self, snapshot: Snapshot) {
        self.base = snapshot.position;
        self.entries.clear();
        self.snapshot = Some(snapshot);
    }

    /// Makes this the snapshot that members which are far behind receive.
    pub(crate) fn offer(&mut self, snapshot: Snapshot) {
        self.snapshot = Some(snapshot);
        self.snapshot_wanted.set(false);
    }

    /// Forgets entries up to this index.
    pub(crate) fn compact(&mut self, index: u64) {
        if index <= self.base.index {
            return;
        }
        if let (Ok(term), Some(count)) = (self.term(index), self.offset(index + 1)) {
            self.base = Position { index, term };
            self.entries.drain(..count);
        }
    }

    /// Whether Raft asked for a snapshot that was not there.
    pub(crate) fn snapshot_wanted(&self) -> bool {
        self.snapshot_wanted.get()
    }

    pub(crate) fn base(&self) -> Position {
        self.base
    }

    pub(crate) fn tail(&self, after: u64) -> &[Entry] {
        self.offset(after + 1).map_or(&[], |from| &self.entries[from..])
    }

    /// Where the entry of this index is or would be appended; `None` outside.
    fn offset(&self, index: u64) -> Option<usize> {
        let offset = usize::try_from(index.checked_sub(self.base.index + 1)?).ok()?;
        (offset <= self.entries.len()).then_some(offset)
    }
}

impl Storage for Log {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(self.initial.clone())
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        let Some(from) = self.offset(low) else {
            return Err(Error::Store(StorageError::Compacted));
        };
        let Some(to) = self.offset(high) else {
            return Err(Error::Store(StorageError::Unavailable));
        };
        let mut entries = self.entries[from..to].to_vec();
        limit_size(&mut entries, max_size.into());
        Ok(entries)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.base.index {
            return Ok(self.base.term);
        }
        let offset = self.offset(index).ok_or(Error::Store(StorageError::Compacted))?;
        let entry = self.entries.get(offset).ok_or(Error::Store(StorageError::Unavailable))?;
        Ok(entry.term)
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.base.index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.base.index + self.entries.len() as u64)
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<RaftSnapshot> {
        let fits = |snapshot: &&Snapshot| {
            let index = snapshot.position.index;
            index >= request_index && index >= self.base.index && snapshot.includes(to)
        };
        if let Some(snapshot) = self.snapshot.as_ref().filter(fits) {
            return Ok(snapshot.to_raft());
        }
        self.snapshot_wanted.set(true);
        Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
    }
}
