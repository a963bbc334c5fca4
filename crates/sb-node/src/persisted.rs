//! What this server must remember across a crash: the phase of a change (R9), the newest promise (R4), the
//! newest promise to a primary without a store (R10), and how often its agent has started.
//!
//! Every write is a new file, synced, renamed over the old one, and the directory synced: after a crash there is
//! either the old value or the new one.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sb_consensus::Room;
use sb_failover::{FailsafePromise, Persisted, Phase, Promise, Session};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Layout;
use crate::reserve::Reserve;

/// Something that must be remembered cannot be.
#[derive(Debug, thiserror::Error)]
pub enum RememberError {
    /// It cannot be read, written or removed.
    #[error("could not {what} `{}`", path.display())]
    Io {
        /// `read`, `write` or `remove`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is damaged. Guessing a promise or a phase could break one, so the agent does not start.
    #[error("`{}` is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        #[source]
        source: serde_json::Error,
    },
}

/// The four files.
#[derive(Debug, Clone)]
pub struct Memory {
    phase: PathBuf,
    promise: PathBuf,
    failsafe: PathBuf,
    session: PathBuf,
    reserve: Reserve,
}

impl Memory {
    /// The memory in a state directory; `reserve` has room for it when the disk is full.
    #[must_use]
    pub fn new(layout: &Layout, reserve: Reserve) -> Self {
        Self {
            phase: layout.phase_file(),
            promise: layout.promise_file(),
            failsafe: layout.failsafe_file(),
            session: layout.session_file(),
            reserve,
        }
    }

    fn replace<T: Serialize>(&self, path: &Path, value: &T) -> Result<(), RememberError> {
        loop {
            match replace(path, value) {
                Err(RememberError::Io { source, .. })
                    if source.kind() == io::ErrorKind::StorageFull
                        && self.reserve.make_room() == Room::Made => {}
                ended => return ended,
            }
        }
    }

    /// What the failover machine stored.
    ///
    /// # Errors
    /// When a file is there and cannot be read.
    pub fn recall(&self) -> Result<Persisted, RememberError> {
        let phase = read(&self.phase)?.unwrap_or_default();
        Ok(Persisted { phase, promise: read(&self.promise)?, failsafe: read(&self.failsafe)? })
    }

    /// Makes a phase durable.
    ///
    /// # Errors
    /// When it cannot be written; then the old one stands.
    pub fn store_phase(&self, phase: &Phase) -> Result<(), RememberError> {
        self.replace(&self.phase, phase)
    }

    /// Makes a promise durable.
    ///
    /// # Errors
    /// When it cannot be written; then the old one stands.
    pub fn store_promise(&self, promise: &Promise) -> Result<(), RememberError> {
        self.replace(&self.promise, promise)
    }

    /// Makes a promise to the holder of a lease durable.
    ///
    /// # Errors
    /// When it cannot be written; then the old one stands.
    pub fn store_failsafe(&self, promise: &FailsafePromise) -> Result<(), RememberError> {
        self.replace(&self.failsafe, promise)
    }

    /// The number of this run of the agent, larger than every one before.
    ///
    /// # Errors
    /// When the number cannot be made durable: then no run may begin.
    pub fn begin_session(&self) -> Result<Session, RememberError> {
        let last: Session = read(&self.session)?.unwrap_or_default();
        let session = last.next();
        self.replace(&self.session, &session)?;
        Ok(session)
    }
}

/// Reads a JSON file; [`None`] when there is none.
///
/// # Errors
/// When it is there and cannot be read.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, RememberError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(RememberError::Io { what: "read", path: path.to_owned(), source }),
    };
    let damaged = |source| RememberError::Damaged { path: path.to_owned(), source };
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

/// Replaces a JSON file so that a crash leaves the old or the new one.
///
/// # Errors
/// When that cannot be done; then the old one stands.
pub fn replace<T: Serialize>(path: &Path, value: &T) -> Result<(), RememberError> {
    let bytes = serde_json::to_vec_pretty(value).expect("what is remembered has text keys");
    let write = || {
        let temporary = path.with_extension("new");
        let mut file = File::create(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    write().map_err(|source| RememberError::Io { what: "write", path: path.to_owned(), source })
}

/// Removes a file, durably. One that is not there is success.
///
/// # Errors
/// When that cannot be done.
pub fn remove(path: &Path) -> Result<(), RememberError> {
    let remove = || match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all(),
    };
    remove().map_err(|source| RememberError::Io { what: "remove", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_rise_and_a_damaged_promise_is_not_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().into(), dir.path().into(), dir.path().into());
        let memory = Memory::new(&layout, Reserve::open(layout.reserve_file()));
        let first = memory.begin_session().unwrap();
        assert!(memory.begin_session().unwrap() > first);
        assert_eq!(memory.recall().unwrap(), Persisted::default());

        std::fs::write(layout.promise_file(), "{\"term\":").unwrap();
        assert!(matches!(memory.recall(), Err(RememberError::Damaged { .. })));
    }
}
