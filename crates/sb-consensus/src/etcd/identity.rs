use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::raft_store::disk::{Directory, failed, replace_file};
use crate::{MemberId, OpenError};

use super::anchor::Founding;

const FORMAT: u32 = 1;
const FILE: &str = "identity.json";

/// The seen index is made durable each time it has grown by this much.
const SEEN_EVERY_INDEXES: u64 = 512;

/// What a member knows about itself and its group when etcd cannot be asked. The rest of its state is in etcd.
///
/// The directory stays locked as long as this lives.
#[derive(Debug)]
pub(super) struct Identity {
    directory: Directory,
    file: IdentityFile,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct IdentityFile {
    format: u32,
    cluster: String,
    name: String,
    member: MemberId,
    /// Which start of this member this is, from 1.
    starts: u64,
    /// The group that this member has seen; from then on it accepts no other.
    belongs: Option<Belongs>,
}

/// A group in one etcd cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Belongs {
    /// The anchor's, given by its founder.
    pub(super) founding: Founding,
    /// etcd's own id.
    pub(super) etcd: u64,
    /// An index that the group had reached when it was seen last; may be behind.
    pub(super) seen: u64,
}

impl Identity {
    /// Locks the directory, and counts the start durably. A directory without a file is a new member's.
    pub(super) fn open(dir: &Path, cluster: &str, name: &str) -> Result<Self, OpenError> {
        let directory = Directory::open(dir)?;
        let path = dir.join(FILE);
        let found = match fs::read(&path) {
            Ok(bytes) => Some(read(&path, &bytes)?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let mut file = found.unwrap_or_else(|| IdentityFile {
            format: FORMAT,
            cluster: cluster.to_owned(),
            name: name.to_owned(),
            member: MemberId::random(),
            starts: 0,
            belongs: None,
        });
        if (file.cluster.as_str(), file.name.as_str()) != (cluster, name) {
            return Err(OpenError::ForeignDirectory {
                dir: dir.to_path_buf(),
                found: format!("{} of {}", file.name, file.cluster),
                expected: format!("{name} of {cluster}"),
            });
        }
        file.starts += 1;
        let mut identity = Self { directory, file };
        identity.write().map_err(failed("write", &path))?;
        Ok(identity)
    }

    pub(super) fn member(&self) -> MemberId {
        self.file.member
    }

    pub(super) fn start(&self) -> u64 {
        self.file.starts
    }

    pub(super) fn belongs(&self) -> Option<Belongs> {
        self.file.belongs
    }

    /// Notes the group once, and from time to time how far it has got.
    pub(super) fn saw(&mut self, group: Belongs) -> std::io::Result<()> {
        let due = self.file.belongs.is_none_or(|known| group.seen >= known.seen + SEEN_EVERY_INDEXES);
        if due {
            self.file.belongs = Some(group);
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> std::io::Result<()> {
        let text = serde_json::to_vec_pretty(&self.file)?;
        replace_file(&self.directory.path().join(FILE), &text).map(drop)
    }
}

fn read(path: &Path, bytes: &[u8]) -> Result<IdentityFile, OpenError> {
    let corrupt = |reason: String| OpenError::Corrupt { path: path.to_path_buf(), reason };
    let file: IdentityFile = serde_json::from_slice(bytes).map_err(|error| corrupt(error.to_string()))?;
    if file.format == FORMAT {
        Ok(file)
    } else {
        Err(corrupt(format!("format {} is not {FORMAT}", file.format)))
    }
}

/// Whether the directory is that of a member which has seen its group in etcd.
///
/// What cannot be read counts as a yes: only a server without a past may begin a group.
#[must_use]
pub fn belongs_to_etcd(dir: &Path) -> bool {
    let path: PathBuf = dir.join(FILE);
    match fs::read(&path) {
        Ok(bytes) => read(&path, &bytes).map_or(true, |file| file.belongs.is_some()),
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_stays_who_it_is_and_counts_its_starts() {
        let dir = tempfile::tempdir().unwrap();
        let first = Identity::open(dir.path(), "group", "a").unwrap();
        let (id, start) = (first.member(), first.start());
        assert!(matches!(Identity::open(dir.path(), "group", "a"), Err(OpenError::Locked { .. })));
        drop(first);
        let second = Identity::open(dir.path(), "group", "a").unwrap();
        assert_eq!((second.member(), second.start()), (id, start + 1));
        drop(second);
        assert!(matches!(Identity::open(dir.path(), "group", "b"), Err(OpenError::ForeignDirectory { .. })));
    }

    #[test]
    fn a_directory_has_a_past_once_its_member_saw_the_group() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!belongs_to_etcd(dir.path()));
        let mut identity = Identity::open(dir.path(), "group", "a").unwrap();
        assert!(!belongs_to_etcd(dir.path()), "a start that was cut short is still the first");
        let group = Belongs { founding: Founding::random(), etcd: 7, seen: 3 };
        identity.saw(group).unwrap();
        assert!(belongs_to_etcd(dir.path()));
        identity.saw(Belongs { seen: 4, ..group }).unwrap();
        drop(identity);
        let again = Identity::open(dir.path(), "group", "a").unwrap();
        assert_eq!(again.belongs(), Some(group), "a small step is not worth a write");
    }
}
