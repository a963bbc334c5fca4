//! Whether the disk under the data directory answers: a small write that is to be durable, once a second, by a thread of
//! its own, because one that hangs cannot be given up.
//!
//! A process that waits for a hung disk looks alive from everywhere else: its port is open, its sessions are there, and
//! nothing that they ask comes to an end. What a disk answers with an error is left to PostgreSQL, which ends then.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sb_failover::{Event, Storage};
use tokio_util::sync::CancellationToken;

use crate::boottime;
use crate::journal::{Entry, Journal};
use crate::teller::Teller;
use crate::troubles::{Topic, Troubles};

/// Between two writes, in milliseconds.
const PROBE_EVERY_MS: u64 = 1_000;

/// How often the thread is looked after, in milliseconds.
const LOOK_EVERY_MS: u64 = 250;

/// A write that has taken this long hangs, in milliseconds. It is what a PostgreSQL that has crashed gets to be back; the
/// lease goes on for some seconds more, and a disk that answers meanwhile costs nothing.
const HANGS_AFTER_MS: u64 = 5_000;

/// A write of one sector: a disk has that or has it not.
const PROBE_BYTES: usize = 512;

/// What the thread and its watcher share: when the write under way began, in milliseconds since boot; 0 between two.
type Began = Arc<AtomicU64>;

/// Watches over the disk of one server.
pub struct StorageProbe {
    began: Began,
    hangs: Storage,
    path: PathBuf,
    teller: Arc<Teller>,
    journal: Arc<Journal>,
    troubles: Arc<Troubles>,
}

impl StorageProbe {
    /// Begins to write beside `data_dir`, or in it where it is a disk of its own. The thread ends with the process: nobody
    /// can end one that waits for a hung disk.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn begin(
        data_dir: PathBuf,
        teller: Arc<Teller>,
        journal: Arc<Journal>,
        troubles: Arc<Troubles>,
    ) -> io::Result<Self> {
        let began = Began::default();
        let (shared, path) = (Arc::clone(&began), data_dir.clone());
        std::thread::Builder::new().name("storage-probe".into()).spawn(move || {
            loop {
                shared.store(now_ms(), Ordering::Release);
                if let Err(error) = probe(&path) {
                    tracing::debug!(%error, "the probe of the disk was answered with an error");
                }
                shared.store(0, Ordering::Release);
                std::thread::sleep(Duration::from_millis(PROBE_EVERY_MS));
            }
        })?;
        Ok(Self { began, hangs: Storage::Answers, path: data_dir, teller, journal, troubles })
    }

    /// Tells the failover machine when the disk begins to hang and when it answers again, until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let storage = judge(self.began.load(Ordering::Acquire), now_ms());
            if storage != self.hangs {
                self.hangs = storage;
                self.tell(storage).await;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(LOOK_EVERY_MS)) => {}
            }
        }
    }

    async fn tell(&self, storage: Storage) {
        let path = self.path.display();
        match storage {
            Storage::Hangs => {
                let sentence = format!(
                    "the disk under `{path}` has not answered a write for {} s; this server lets the lease lapse and \
                     does not stand for election",
                    HANGS_AFTER_MS / 1_000
                );
                tracing::error!(%path, "the disk does not answer");
                self.journal.record(Entry::new("storage.hangs", sentence.clone()));
                self.troubles.set(Topic::Storage, Some(sentence));
            }
            Storage::Answers => {
                self.journal.record(Entry::new("storage.answers", "the disk answers again"));
                self.troubles.set(Topic::Storage, None);
            }
        }
        self.teller.tell(Event::Storage(storage)).await;
    }
}

fn now_ms() -> u64 {
    let since = boottime::now().since(sb_failover::BootTime::since_boot(Duration::ZERO));
    // A reading of 0 would say that nothing is under way.
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1)
}

const fn judge(began_ms: u64, now_ms: u64) -> Storage {
    if began_ms != 0 && now_ms.saturating_sub(began_ms) >= HANGS_AFTER_MS {
        Storage::Hangs
    } else {
        Storage::Answers
    }
}

/// One write that is on the disk when this returns. Does nothing while there is no data directory to look after.
fn probe(data_dir: &Path) -> io::Result<()> {
    let Some(place) = place_of_the_probe(data_dir)? else { return Ok(()) };
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(place)?;
    file.write_all_at(&[0; PROBE_BYTES], 0)?;
    file.sync_data()
}

/// Beside the data directory, where neither `initdb` nor a copy meets it; in it where its parent is on another disk.
fn place_of_the_probe(data_dir: &Path) -> io::Result<Option<PathBuf>> {
    let Some(parent) = data_dir.parent() else { return Ok(None) };
    let data = match std::fs::metadata(data_dir) {
        Ok(data) => data,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if std::fs::metadata(parent)?.dev() == data.dev() {
        return Ok(Some(parent.join("sb-probe")));
    }
    Ok(data_dir.join("PG_VERSION").exists().then(|| data_dir.join("sb-probe")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_under_way_for_too_long_hangs_and_no_write_under_way_does_not() {
        assert_eq!(judge(0, 1_000_000), Storage::Answers);
        assert_eq!(judge(1_000, 1_000 + HANGS_AFTER_MS - 1), Storage::Answers);
        assert_eq!(judge(1_000, 1_000 + HANGS_AFTER_MS), Storage::Hangs);
    }

    #[test]
    fn the_probe_stays_out_of_the_data_directory() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("pgdata");
        probe(&data).unwrap();
        assert!(!dir.path().join("sb-probe").exists(), "nothing to look after yet");
        std::fs::create_dir(&data).unwrap();
        probe(&data).unwrap();
        assert!(dir.path().join("sb-probe").exists());
        assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0);
    }
}
