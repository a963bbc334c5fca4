//! Replaces files whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::DocumentTexts;
use crate::load::{DATABASE, NETWORK, POLICY, SITES};

/// Mode of a file with a secret: its owner's alone.
const MODE_SECRET: u32 = 0o600;
/// Mode of a file without secrets.
const MODE_PUBLIC: u32 = 0o644;

/// Writes the four documents into a directory, each whole or not at all; `database.json`, which holds a
/// password, for its owner alone. `sites.json` is last: without it a directory is not a configuration.
///
/// # Errors
/// What the file system says. Documents before the one that failed are then new, the others old.
pub fn write_documents(directory: &Path, documents: &DocumentTexts) -> io::Result<()> {
    replace_file(&directory.join(DATABASE), documents.database.as_bytes(), MODE_SECRET)?;
    replace_file(&directory.join(NETWORK), documents.network.as_bytes(), MODE_PUBLIC)?;
    replace_file(&directory.join(POLICY), documents.policy.as_bytes(), MODE_PUBLIC)?;
    replace_file(&directory.join(SITES), documents.sites.as_bytes(), MODE_PUBLIC)
}

/// Replaces `path` with `bytes`: a temporary file beside it, fsync, rename, fsync of the directory. After a
/// crash at any point the file is the old or the new one. `mode` is the new file's Unix mode.
///
/// # Errors
/// What the file system says; the old file is then untouched.
pub fn replace_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let name =
        path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a file's path"))?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // One name per process: two writers of one file must not share a temporary file.
    let temporary = directory.join(format!(".{}.{}.new", name.to_string_lossy(), std::process::id()));
    let written = write_new(&temporary, bytes, mode).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
        return written;
    }
    File::open(directory)?.sync_all()
}

fn write_new(path: &PathBuf, bytes: &[u8], mode: u32) -> io::Result<()> {
    // A leftover of a process with the same id that crashed.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = open_new(path, mode)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(unix)]
fn open_new(path: &Path, mode: u32) -> io::Result<File> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    // The umask may have taken bits away.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(file)
}

#[cfg(not(unix))]
fn open_new(path: &Path, _mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sites.json");
        replace_file(&path, b"old, and longer", 0o644).unwrap();
        replace_file(&path, b"new", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn what_cannot_be_replaced_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sites.json");
        fs::create_dir_all(path.join("in the way")).unwrap();
        assert!(replace_file(&path, b"new", 0o600).is_err());
        assert!(path.join("in the way").is_dir());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }
}
