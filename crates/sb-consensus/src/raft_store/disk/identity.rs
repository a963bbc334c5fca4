use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{MemberId, OpenError};

/// The directory of one member, locked for this process as long as this lives.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(super) path: PathBuf,
    pub(super) _lock: File,
}

/// Who the directory belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The incarnation, made with the directory.
    pub(crate) id: MemberId,
    /// Which start of it this is, from 1.
    pub(crate) start: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct IdentityFile {
    pub(super) format: u32,
    pub(crate) cluster: String,
    pub(crate) name: String,
    pub(crate) member: String,
    pub(super) starts: u64,
    /// The member whose log was recovered into this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) succeeds: Option<String>,
}

const FORMAT: u32 = 1;

impl Directory {
    /// Makes the directory if need be, locks it, and ends a recovery that a crash has cut short.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        fs::create_dir_all(path).map_err(failed("create", path))?;
        let lock_path = path.join("lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(failed("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(OpenError::Locked { dir: path.to_path_buf() });
            }
            Err(fs::TryLockError::Error(source)) => return Err(failed("lock", &lock_path)(source)),
        }
        let directory = Self { path: path.to_path_buf(), _lock: lock };
        directory.roll_forward()?;
        Ok(directory)
    }

    /// Who the directory belongs to, without counting a start.
    pub(crate) fn identity(&self) -> Result<IdentityFile, OpenError> {
        Self::read_identity(&self.path.join("identity.json"))
    }

    /// Refuses the directory of another server or group.
    pub(crate) fn check(&self, file: &IdentityFile, cluster: &str, name: &str) -> Result<(), OpenError> {
        if (file.cluster.as_str(), file.name.as_str()) == (cluster, name) {
            return Ok(());
        }
        Err(OpenError::ForeignDirectory {
            dir: self.path.clone(),
            found: format!("{} of {}", file.name, file.cluster),
            expected: format!("{name} of {cluster}"),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    pub(crate) fn snapshot(&self) -> PathBuf {
        self.path.join("snapshot")
    }

    /// The first snapshot of a new group until its log is there: a snapshot without a log is a log that was lost.
    pub(crate) fn first_snapshot(&self) -> PathBuf {
        self.path.join("snapshot.first")
    }

    /// There when the directory must not be used again, and says why.
    pub(crate) fn condemned(&self) -> PathBuf {
        self.path.join("condemned")
    }

    /// The member that this directory belongs to. Counts the start, durably.
    ///
    /// Without log and snapshot it is always a new member: whoever was here before cannot know any more what it
    /// voted for and acknowledged.
    pub(crate) fn identify(&self, cluster: &str, name: &str) -> Result<Identity, OpenError> {
        let path = self.path.join("identity.json");
        let corrupt = |reason: String| OpenError::Corrupt { path: path.clone(), reason };
        let goes_on = holds_log(&self.path);
        let mut file = if goes_on { Self::read_identity(&path)? } else { IdentityFile::new(cluster, name) };
        self.check(&file, cluster, name)?;
        let id = file.member.parse().map_err(|_| corrupt("no member id".into()))?;
        file.starts += 1;
        let text = serde_json::to_vec_pretty(&file).map_err(|error| corrupt(error.to_string()))?;
        replace_file(&path, &text).map_err(failed("write", &path))?;
        if !goes_on {
            self.forget_earlier_member()?;
        }
        Ok(Identity { id, start: file.starts })
    }

    pub(super) fn read_identity(path: &Path) -> Result<IdentityFile, OpenError> {
        let corrupt = |reason: String| OpenError::Corrupt { path: path.to_path_buf(), reason };
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(corrupt("it is missing beside a log".into()));
            }
            Err(error) => return Err(failed("read", path)(error)),
        };
        let file: IdentityFile = serde_json::from_slice(&text).map_err(|error| corrupt(error.to_string()))?;
        if file.format != FORMAT {
            return Err(corrupt(format!("format {} is not {FORMAT}", file.format)));
        }
        Ok(file)
    }

    /// What an earlier member left behind, durably gone: the verdict on it, and a group it had not begun yet.
    fn forget_earlier_member(&self) -> Result<(), OpenError> {
        for path in [self.condemned(), self.first_snapshot()] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(failed("remove", &path)(error));
                }
                _ => {}
            }
        }
        sync_directory(&self.log()).map_err(failed("sync", &self.path))
    }
}

impl IdentityFile {
    pub(super) fn new(cluster: &str, name: &str) -> Self {
        let member = MemberId::random().to_string();
        Self { format: FORMAT, cluster: cluster.into(), name: name.into(), member, starts: 0, succeeds: None }
    }
}

/// Whether a directory holds the log or the snapshot of a member, or a recovery that puts them there.
///
/// Where it does, [`RaftStore::open`](crate::RaftStore::open) goes on with that member; where it does not,
/// [`RaftStore::bootstrap`](crate::RaftStore::bootstrap) may begin a group. What cannot be looked at counts as held.
#[must_use]
pub fn holds_log(dir: &Path) -> bool {
    ["log", "snapshot", super::recovery::COMMITTED]
        .iter()
        .any(|file| dir.join(file).try_exists().unwrap_or(true))
}

/// Puts bytes in the place of a file: all of them or the old ones, whatever happens.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> std::io::Result<File> {
    let temporary = path.with_extension("new");
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(file)
    });
    let file = match written {
        Ok(file) => file,
        Err(error) => {
            // The old file stays; room taken by the new one is given back as far as possible.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
    };
    fs::rename(&temporary, path)?;
    sync_directory(path)?;
    Ok(file)
}

/// Makes durable that a file is there under its name.
pub(crate) fn sync_directory(of: &Path) -> std::io::Result<()> {
    of.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

pub(crate) fn failed(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> OpenError {
    let path = path.to_path_buf();
    move |source| OpenError::Io { what, path, source }
}
