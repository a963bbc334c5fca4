//! Room on the disk that is the agent's alone, for the time when there is none left for anybody.
//!
//! A database that grows or a log that is kept fills the disk of every server at about the same time, and with the store's
//! log on it the cluster could not even agree on who leads. So a file is kept that holds nothing: when a small write that
//! safety needs finds no room, the file gets shorter by a step and the write is tried again. PostgreSQL, which wants
//! whole segments, gets little of that.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use sb_consensus::Room;
use tokio_util::sync::CancellationToken;

use crate::journal::{Entry, Journal};
use crate::troubles::{Change, Topic, Troubles};

/// Size of the whole reserve, in bytes: hours of the store's log.
const RESERVE_BYTES: u64 = 32 << 20;

/// What is given at a time, in bytes: a file system gives whole blocks, and a file that is replaced needs two.
const STEP_BYTES: u64 = 64 << 10;

/// What a start needs before anything can ask for room, in bytes.
const START_BYTES: u64 = 256 << 10;

/// Room that is left for others when the reserve is made, in bytes: it is not to fill the disk itself.
const OTHERS_BYTES: u64 = 128 << 20;

/// Between two looks at the disk, in milliseconds.
const LOOK_EVERY_MS: u64 = 5_000;

/// The file. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reserve {
    path: PathBuf,
    /// Nobody shortens the file while another does.
    turn: Arc<Mutex<()>>,
}

impl Reserve {
    /// The reserve in this file, which need not be there. On a full disk the room that a start needs is taken from it.
    #[must_use]
    pub fn open(path: PathBuf) -> Self {
        let reserve = Self { path, turn: Arc::default() };
        let mut steps = START_BYTES / STEP_BYTES;
        while free_bytes(&reserve.path).is_ok_and(|free| free < START_BYTES) && steps > 0 {
            reserve.give();
            steps -= 1;
        }
        reserve
    }

    /// Makes a little room, if any is left to give.
    #[must_use]
    pub fn make_room(&self) -> Room {
        let given = self.give();
        if given == Room::Made {
            tracing::warn!(path = %self.path.display(), "the disk is full; a part of the reserve was given");
        }
        given
    }

    fn give(&self) -> Room {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let shorten = || -> io::Result<Room> {
            let file = File::options().write(true).open(&self.path)?;
            let left = file.metadata()?.len();
            if left == 0 {
                return Ok(Room::None);
            }
            file.set_len(left.saturating_sub(STEP_BYTES))?;
            Ok(Room::Made)
        };
        shorten().unwrap_or(Room::None)
    }

    /// Makes the file as long as it should be, when there is room enough for others too. What it is then.
    fn restore(&self) -> io::Result<Level> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let file = File::options().create(true).truncate(false).write(true).open(&self.path)?;
        let left = file.metadata()?.len();
        if left >= RESERVE_BYTES {
            return Ok(Level::Whole);
        }
        if free_bytes(&self.path)? < OTHERS_BYTES + RESERVE_BYTES - left {
            return Ok(Level::Short { left });
        }
        fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES)?;
        Ok(Level::Whole)
    }

    /// Keeps the reserve whole, and says when it is not, until `stop`.
    pub async fn keep(self, journal: Arc<Journal>, troubles: Arc<Troubles>, stop: CancellationToken) {
        loop {
            let reserve = self.clone();
            match tokio::task::spawn_blocking(move || reserve.restore()).await {
                Ok(Ok(level)) => self.tell(level, &journal, &troubles),
                Ok(Err(error)) => tracing::debug!(%error, "the reserve on the disk cannot be kept"),
                Err(error) => tracing::warn!(%error, "the look at the reserve has failed"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(LOOK_EVERY_MS)) => {}
            }
        }
    }

    fn tell(&self, level: Level, journal: &Journal, troubles: &Troubles) {
        let sentence = match level {
            Level::Whole => None,
            Level::Short { left } => Some(format!(
                "the disk under `{}` is full or nearly so; the agent lives on the {} KiB of its reserve",
                self.path.parent().unwrap_or(&self.path).display(),
                left >> 10
            )),
        };
        match troubles.set(Topic::Reserve, sentence.clone()) {
            Change::Began => journal.record(Entry::new("disk.full", sentence.unwrap_or_default())),
            Change::Ended => journal.record(Entry::new("disk.room", "the disk has room again")),
            Change::Differs | Change::None => {}
        }
    }
}

/// How much of the reserve is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// All of it.
    Whole,
    /// Less, and no room for more.
    Short {
        /// In bytes.
        left: u64,
    },
}

fn free_bytes(path: &Path) -> io::Result<u64> {
    let disk = statvfs(path.parent().unwrap_or(path))?;
    Ok(disk.f_bavail * disk.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_given_once_and_comes_back_with_the_room() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::open(dir.path().join("reserve"));
        assert_eq!(reserve.make_room(), Room::None, "nothing was kept yet");
        assert_eq!(reserve.restore().unwrap(), Level::Whole);
        let steps = (0..).take_while(|_| reserve.make_room() == Room::Made).count();
        assert_eq!(steps as u64, RESERVE_BYTES / STEP_BYTES);
        assert_eq!(std::fs::metadata(dir.path().join("reserve")).unwrap().len(), 0);
        assert_eq!(reserve.restore().unwrap(), Level::Whole);
    }
}
