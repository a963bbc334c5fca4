//! Files that must survive a power cut: written whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::{FileError, RunAs};

/// Runs `work`, which may wait for a disk, away from the threads that serve everybody.
pub(crate) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is being torn down cancels, and then nobody awaits this.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Writes a file whole: beside it, synced, renamed, directory synced. A file that has the bytes already is left alone.
///
/// Nothing stays beside it: a base backup of a data directory fails at a file that PostgreSQL may not read, and what
/// is left of an attempt that a full disk or a kill has cut short is one.
pub(crate) fn write_durably(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    owner: Option<RunAs>,
) -> Result<(), FileError> {
    let mut temporary = path.to_owned().into_os_string();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return remove_durably(&temporary);
    }
    if let Err(error) = write_new(&temporary, bytes, mode, owner) {
        // The error that is told is the one that came first.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    rename_durably(&temporary, path)
}

fn write_new(path: &Path, bytes: &[u8], mode: u32, owner: Option<RunAs>) -> Result<(), FileError> {
    let fail = || FileError::on("write", path);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path).map_err(fail())?;
    // Before the content: a secret is never readable for others, not even for a moment.
    file.set_permissions(Permissions::from_mode(mode)).map_err(fail())?;
    if let Some(owner) = owner {
        owner.own(path)?;
    }
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(fail())
}

/// Renames, and returns once that is on disk.
pub(crate) fn rename_durably(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).map_err(FileError::on("rename", from))?;
    sync_parent(from)?;
    sync_parent(to)
}

/// Removes a file if it is there, and returns once that is on disk.
pub(crate) fn remove_durably(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FileError::on("remove", path)(error)),
    }
}

/// Removes a directory with everything in it, if it is there.
pub(crate) fn remove_tree(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FileError::on("remove", path)(error)),
    }
}

/// Makes a directory that only its owner may enter, if it is not there, and sees to its owner.
pub(crate) fn make_private_dir(path: &Path, owner: Option<RunAs>) -> Result<(), FileError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(FileError::on("make", path))?;
    owner.map_or(Ok(()), |owner| owner.own(path))
}

/// Copies a file and syncs the copy.
pub(crate) fn copy_durably(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::copy(from, to).map_err(FileError::on("copy", from))?;
    File::open(to).and_then(|file| file.sync_all()).map_err(FileError::on("sync", to))
}

/// The text of a file; [`None`] when it is not there.
pub(crate) fn read_if_present(path: &Path) -> Result<Option<String>, FileError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::on("read", path)(error)),
    }
}

/// The entries `<directory>/<stem>-<n>`, in the order of their numbers; none when the directory is not there.
pub(crate) fn numbered(directory: &Path, stem: &str) -> Result<Vec<(u32, PathBuf)>, FileError> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(FileError::on("read", directory))?,
    };
    let number =
        |path: &Path| path.file_name()?.to_str()?.strip_prefix(stem)?.strip_prefix('-')?.parse().ok();
    let paths = entries.flatten().map(|entry| entry.path());
    let mut found: Vec<_> = paths.filter_map(|path| Some((number(&path)?, path))).collect();
    found.sort();
    Ok(found)
}

/// `<directory>/<stem>-<n>` with a number behind all that are there: the order of the numbers is that of time.
pub(crate) fn next_numbered(directory: &Path, stem: &str) -> Result<PathBuf, FileError> {
    let last = numbered(directory, stem)?.last().map_or(0, |(n, _)| *n);
    Ok(directory.join(format!("{stem}-{}", last + 1)))
}

/// Whether a directory holds nothing.
pub(crate) fn is_empty_dir(path: &Path) -> Result<bool, FileError> {
    Ok(path.is_dir() && fs::read_dir(path).map_err(FileError::on("read", path))?.next().is_none())
}

/// Makes the names in the directory of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), FileError> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(FileError::on("sync", parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_written_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pgpass");
        write_durably(&path, b"one", 0o600, None).unwrap();
        write_durably(&path, b"two", 0o600, None).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays behind");
    }

    #[test]
    fn what_an_attempt_that_was_cut_short_has_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sb.conf");
        for bytes in [&b"one"[..], b"one", b"two"] {
            fs::write(dir.path().join("sb.conf.tmp"), b"tw").unwrap();
            write_durably(&path, bytes, 0o600, None).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }

    /// `/dev/full` takes no byte, as a full disk does.
    #[test]
    fn an_attempt_that_fails_leaves_nothing_and_the_file_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sb.conf");
        write_durably(&path, b"one", 0o600, None).unwrap();
        std::os::unix::fs::symlink("/dev/full", dir.path().join("sb.conf.tmp")).unwrap();
        // Whether the mode or the content is refused depends on who runs this.
        assert!(write_durably(&path, b"two", 0o666, None).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_number_is_never_lower_than_those_before() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(next_numbered(dir.path(), "data").unwrap(), dir.path().join("data-1"));
        for name in ["data-9", "data-10", "data-of-mine"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        assert_eq!(next_numbered(dir.path(), "data").unwrap(), dir.path().join("data-11"));
    }
}
