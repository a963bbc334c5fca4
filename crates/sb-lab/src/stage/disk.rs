//! The lab's files on a real disk: a directory that is removed at the end, and by the next lab if nobody lived to
//! do it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Every such directory is named so.
const PREFIX: &str = "sb-lab-";

/// A directory for one lab, locked for as long as launcher or lab live.
#[derive(Debug)]
pub struct DiskDirectory {
    path: PathBuf,
    /// The lock is the kernel's: it goes with the last process that holds this.
    lock: File,
}

impl DiskDirectory {
    /// Makes a directory below `parent`, after removing those whose labs are gone.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(parent: &Path) -> io::Result<Self> {
        fs::create_dir_all(parent)?;
        remove_abandoned(parent)?;
        let path = parent.canonicalize()?.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&path)?;
        let lock = File::open(&path)?;
        lock.try_lock()?;
        Ok(Self { path, lock })
    }

    /// The open directory, to hand down.
    #[must_use]
    pub fn handle(&self) -> &File {
        &self.lock
    }

    /// Removes it and everything in it.
    ///
    /// # Errors
    /// When something in it cannot be removed.
    pub fn remove(self) -> io::Result<()> {
        fs::remove_dir_all(&self.path)
    }
}

fn remove_abandoned(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        match File::open(entry.path())?.try_lock() {
            Ok(()) => fs::remove_dir_all(entry.path())?,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abandoned_directory_is_removed_by_the_next_and_a_living_one_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let abandoned = parent.path().join("sb-lab-0");
        fs::create_dir_all(abandoned.join("ravena-1/state")).unwrap();
        fs::create_dir(parent.path().join("somebody-elses")).unwrap();
        let living = DiskDirectory::create(parent.path()).unwrap();
        assert!(!abandoned.exists());
        remove_abandoned(parent.path()).unwrap();
        assert!(living.path.exists());
        assert!(parent.path().join("somebody-elses").exists());
        let path = living.path.clone();
        living.remove().unwrap();
        assert!(!path.exists());
    }
}
