//! A directory that becomes the beginning of a group of its own, whatever happens in the middle.
//!
//! The new files are written beside the old ones, in `recovery.new/`. Renaming that to `recovery/` is the moment from
//! which the recovery counts. The rest is rolled forward whenever the directory is opened, one file after the other:
//! the old one goes to `before-<id>/`, the new one takes its place.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::OpenError;

use super::identity::{Directory, IdentityFile, failed, sync_directory};

/// What is put in place, in this order. The identity comes last: it names the directory for the old files.
const FILES: [&str; 3] = ["log", "snapshot", IDENTITY];
const IDENTITY: &str = "identity.json";
const PREPARED: &str = "recovery.new";
pub(super) const COMMITTED: &str = "recovery";

/// One act on the disk. A crash is between two of them, or leaves [`Step::Write`] half done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// What an attempt before has prepared goes.
    Clear,
    /// A file is prepared.
    Write { name: &'static str, bytes: Vec<u8> },
    /// From here on the recovery counts.
    Commit,
    /// The old file is kept out of the way.
    SetAside { name: &'static str, to: PathBuf },
    /// The new file takes its place.
    PutInPlace { name: &'static str },
    /// Nothing is left to do.
    Finish,
}

/// The new files, by name.
pub(crate) struct NewFiles {
    pub(crate) log: Vec<u8>,
    pub(crate) snapshot: Vec<u8>,
    pub(crate) identity: Vec<u8>,
}

impl NewFiles {
    /// What makes them count.
    pub(super) fn steps(self) -> Vec<Step> {
        let files = [("log", self.log), ("snapshot", self.snapshot), (IDENTITY, self.identity)];
        let writes = files.into_iter().map(|(name, bytes)| Step::Write { name, bytes });
        std::iter::once(Step::Clear).chain(writes).chain([Step::Commit]).collect()
    }
}

impl Directory {
    /// Makes the directory that of `files`. When this returns an error it is what it was before, or the next open ends
    /// the work.
    pub(crate) fn replace_all(&self, files: NewFiles) -> Result<(), OpenError> {
        for step in files.steps() {
            self.perform(&step)?;
        }
        self.roll_forward()
    }

    /// Ends a recovery that counts already.
    pub(super) fn roll_forward(&self) -> Result<(), OpenError> {
        while let Some(step) = self.next_step()? {
            self.perform(&step)?;
        }
        Ok(())
    }

    /// What is to be done next, read off the disk.
    pub(super) fn next_step(&self) -> Result<Option<Step>, OpenError> {
        let committed = self.path().join(COMMITTED);
        if !committed.is_dir() {
            return Ok(None);
        }
        let Some(name) = FILES.into_iter().find(|name| committed.join(name).exists()) else {
            return Ok(Some(Step::Finish));
        };
        let to = self.place_for_old_files(&committed)?;
        let old = self.path().join(name).exists() && !to.join(name).exists();
        Ok(Some(if old { Step::SetAside { name, to } } else { Step::PutInPlace { name } }))
    }

    fn place_for_old_files(&self, committed: &Path) -> Result<PathBuf, OpenError> {
        let path = committed.join(IDENTITY);
        let identity = Self::read_identity(&path)?;
        let missing = || OpenError::Corrupt { path, reason: "it does not say whom it succeeds".into() };
        let succeeds = identity.succeeds.ok_or_else(missing)?;
        Ok(self.path().join(format!("before-{succeeds}")))
    }

    pub(super) fn perform(&self, step: &Step) -> Result<(), OpenError> {
        let what = "recover";
        self.attempt(step).map_err(failed(what, self.path()))
    }

    fn attempt(&self, step: &Step) -> io::Result<()> {
        let (prepared, committed) = (self.path().join(PREPARED), self.path().join(COMMITTED));
        match step {
            Step::Clear => {
                match fs::remove_dir_all(&prepared) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    Err(_) | Ok(()) => {}
                }
                fs::create_dir(&prepared)
            }
            Step::Write { name, bytes } => {
                let path = prepared.join(name);
                let mut file = File::create(&path)?;
                file.write_all(bytes)?;
                file.sync_all()?;
                sync_directory(&path)
            }
            Step::Commit => rename(&prepared, &committed),
            Step::SetAside { name, to } => {
                fs::create_dir_all(to)?;
                sync_directory(to)?;
                rename(&self.path().join(name), &to.join(name))?;
                sync_directory(&self.path().join(name))
            }
            Step::PutInPlace { name } => {
                rename(&committed.join(name), &self.path().join(name))?;
                sync_directory(&committed.join(name))
            }
            Step::Finish => {
                fs::remove_dir(&committed)?;
                sync_directory(&committed)
            }
        }
    }
}

/// Renames, durably at the new place.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_directory(to)
}

impl IdentityFile {
    /// The identity of the member that comes after this one, and its id.
    pub(crate) fn successor(&self) -> (crate::MemberId, Self) {
        let id = crate::MemberId::random();
        let mut next = Self::new(&self.cluster, &self.name);
        next.member = id.to_string();
        next.succeeds = Some(self.member.clone());
        (id, next)
    }
}
