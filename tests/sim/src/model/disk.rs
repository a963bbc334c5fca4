use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use sb_consensus::replica::{Disk, DiskContent, DiskError, Record, Snapshot};

use crate::rng::Rng;

/// A disk under a replica's log: what was written and not synced yet is lost with the power, in part or whole.
///
/// The replica's calls return at once; the world lets the time of the sync pass before anything that depends on
/// it leaves the server, and calls [`VirtualDisk::sync`] then.
#[derive(Clone, Debug, Default)]
pub struct VirtualDisk {
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    snapshot: Option<Snapshot>,
    records: Vec<Record>,
    /// How many of `records` survive anything.
    synced: usize,
    /// The state before a replacement that is not synced yet.
    before: Option<(Option<Snapshot>, Vec<Record>)>,
    unsynced_calls: usize,
    full: bool,
    failing: bool,
    condemned: Option<String>,
}

impl VirtualDisk {
    pub fn with(content: &DiskContent) -> Self {
        let disk = Self::default();
        disk.held(|held| {
            held.snapshot.clone_from(&content.snapshot);
            held.records = vec![content.log()];
            held.synced = 1;
        });
        disk
    }

    /// What a start finds.
    pub fn content(&self) -> Result<DiskContent, String> {
        self.held(|held| match &held.condemned {
            Some(reason) => Err(reason.clone()),
            None => DiskContent::assemble(held.snapshot.clone(), held.records.clone()),
        })
    }

    /// How many calls wait for a sync.
    pub fn unsynced(&self) -> usize {
        self.held(|held| held.unsynced_calls)
    }

    /// Everything written is durable now.
    pub fn sync(&self) {
        self.held(|held| {
            held.synced = held.records.len();
            held.before = None;
            held.unsynced_calls = 0;
        });
    }

    /// The power fails: of what is not synced a part may have reached the platter, and the record that was being
    /// written is torn and cut off by the next start.
    pub fn lose_power(&self, rng: &mut Rng) {
        self.held(|held| {
            match held.before.take() {
                Some((snapshot, records)) if rng.chance(60) => {
                    held.synced = records.len();
                    held.records = records;
                    // The snapshot's own rename may have come through before the log's.
                    if rng.chance(50) {
                        held.snapshot = snapshot;
                    }
                }
                Some(_) => held.synced = held.records.len(),
                None => {}
            }
            let kept = held.synced + rng.pick(held.records.len() - held.synced + 1);
            held.records.truncate(kept);
            held.synced = held.records.len();
            held.unsynced_calls = 0;
            held.failing = false;
        });
    }

    pub fn fill(&self) {
        self.held(|held| held.full = true);
    }

    pub fn clear(&self) {
        self.held(|held| (held.full, held.failing) = (false, false));
    }

    pub fn is_full(&self) -> bool {
        self.held(|held| held.full)
    }

    /// From now on every write fails, until the next start.
    pub fn fail(&self) {
        self.held(|held| held.failing = true);
    }

    fn held<T>(&self, look: impl FnOnce(&mut Held) -> T) -> T {
        look(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Held {
    fn check(&self) -> Result<(), DiskError> {
        if self.failing {
            let (path, source) = (PathBuf::from("log"), std::io::Error::other("I/O error"));
            return Err(DiskError::Failed { what: "sync", path, source });
        }
        if self.full { Err(DiskError::Full) } else { Ok(()) }
    }
}

impl Disk for VirtualDisk {
    fn append(&mut self, record: &Record) -> Result<(), DiskError> {
        self.held(|held| {
            held.check()?;
            held.records.push(record.clone());
            held.unsynced_calls += 1;
            Ok(())
        })
    }

    fn replace(&mut self, snapshot: &Snapshot, log: &Record) -> Result<(), DiskError> {
        self.held(|held| {
            held.check()?;
            let old = (
                held.snapshot.replace(snapshot.clone()),
                std::mem::replace(&mut held.records, vec![log.clone()]),
            );
            if held.before.is_none() {
                let (snapshot, mut records) = old;
                records.truncate(held.synced.max(1));
                held.before = Some((snapshot, records));
            }
            held.synced = 1;
            held.unsynced_calls += 1;
            Ok(())
        })
    }

    fn condemn(&mut self, reason: &str) {
        self.held(|held| held.condemned = Some(reason.to_owned()));
    }
}
