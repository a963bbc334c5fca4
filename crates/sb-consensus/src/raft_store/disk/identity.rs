use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{MemberId, OpenError};

/// The directory of one member, locked for this process as long as this lives.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    _lock: File,
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
struct IdentityFile {
    format: u32,
    cluster: String,
    name: String,
    member: String,
    starts: u64,
}

const FORMAT: u32 = 1;

impl Directory {
    /// Makes the directory if need be, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        fs::create_dir_all(path).map_err(failed("create", path))?;
        let lock_path = path.join("lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(failed("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_path_buf(), _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(OpenError::Locked { dir: path.to_path_buf() }),
            Err(fs::TryLockError::Error(source)) => Err(failed("lock", &lock_path)(source)),
        }
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

    /// There when the directory must not be used again, and says why.
    pub(crate) fn condemned(&self) -> PathBuf {
        self.path.join("condemned")
    }

    /// The member that this directory belongs to; a new one when it is empty. Counts the start, durably.
    pub(crate) fn identify(&self, cluster: &str, name: &str) -> Result<Identity, OpenError> {
        let path = self.path.join("identity.json");
        let corrupt = |reason: String| OpenError::Corrupt { path: path.clone(), reason };
        let mut file = if path.exists() {
            let text = fs::read(&path).map_err(failed("read", &path))?;
            serde_json::from_slice(&text).map_err(|error| corrupt(error.to_string()))?
        } else if self.log().exists() || self.snapshot().exists() {
            return Err(corrupt("it is missing beside a log".into()));
        } else {
            let member = MemberId::random().to_string();
            IdentityFile { format: FORMAT, cluster: cluster.into(), name: name.into(), member, starts: 0 }
        };
        if file.format != FORMAT {
            return Err(corrupt(format!("format {} is not {FORMAT}", file.format)));
        }
        if (file.cluster.as_str(), file.name.as_str()) != (cluster, name) {
            return Err(OpenError::ForeignDirectory {
                dir: self.path.clone(),
                found: format!("{} of {}", file.name, file.cluster),
                expected: format!("{name} of {cluster}"),
            });
        }
        let id = file.member.parse().map_err(|_| corrupt("no member id".into()))?;
        file.starts += 1;
        let text = serde_json::to_vec_pretty(&file).map_err(|error| corrupt(error.to_string()))?;
        replace_file(&path, &text).map_err(failed("write", &path))?;
        Ok(Identity { id, start: file.starts })
    }
}

/// Puts bytes in the place of a file: all of them or the old ones, whatever happens.
pub(super) fn replace_file(path: &Path, bytes: &[u8]) -> std::io::Result<File> {
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
    if let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    Ok(file)
}

pub(super) fn failed(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> OpenError {
    let path = path.to_path_buf();
    move |source| OpenError::Io { what, path, source }
}
