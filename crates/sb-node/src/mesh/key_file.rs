//! The file with the server's WireGuard key.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sb_wireguard::{KeyError, PrivateKey};
use zeroize::Zeroizing;

/// Its name in the directory of the documents: the application's.
pub const KEY_FILE: &str = ".wireguard_private";

/// Longest file that is read, in bytes: a key is 44 characters and a line's end.
const FILE_BYTES_MAX: u64 = 4096;

/// Rights beyond the owner's.
const OTHERS: u32 = 0o077;

/// The server has no usable key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There is no such file.
    #[error("there is no WireGuard key in `{}`", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It could not be read or written.
    #[error("could not {act} the WireGuard key in `{}`", path.display())]
    File {
        /// What was tried.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It does not hold a key.
    #[error("`{}` does not hold a WireGuard key", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: KeyError,
    },
    /// Others than its owner may read it: it is no secret any more.
    #[error("`{}` may be read by others than its owner (mode {mode:04o})", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// Reads the key.
///
/// # Errors
/// When there is none, or it cannot be trusted.
pub fn load_key(path: &Path) -> Result<PrivateKey, KeyFileError> {
    let failed = |source| KeyFileError::File { act: "read", path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(KeyFileError::Missing { path: path.to_owned() });
        }
        opened => opened.map_err(failed)?,
    };
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(KeyFileError::Open { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    PrivateKey::from_base64(&text).map_err(|source| KeyFileError::Damaged { path: path.to_owned(), source })
}

/// Reads the key, and makes it first when there is none: on the disk before it is used, so that two starts at once end
/// with the same key.
///
/// # Errors
/// When it cannot be made, or the one that is there cannot be trusted.
pub fn load_or_make_key(path: &Path) -> Result<PrivateKey, KeyFileError> {
    match load_key(path) {
        Err(KeyFileError::Missing { .. }) => {}
        loaded => return loaded,
    }
    let failed = |source| KeyFileError::File { act: "write", path: path.to_owned(), source };
    let draft = path.with_file_name(format!("{KEY_FILE}.{}", std::process::id()));
    let made = write_draft(&draft).and_then(|()| link_draft(&draft, path));
    let removed = std::fs::remove_file(&draft);
    made.map_err(failed)?;
    removed.map_err(failed)?;
    load_key(path)
}

fn write_draft(draft: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(draft)?;
    let mut text = PrivateKey::generate().expose_base64();
    text.push('\n');
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A link, not a rename: it fails where another start was quicker, whose key then counts.
fn link_draft(draft: &Path, path: &Path) -> io::Result<()> {
    match std::fs::hard_link(draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_may_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(KEY_FILE);
        assert!(matches!(load_key(&path), Err(KeyFileError::Missing { .. })));
        let made = load_or_make_key(&path).unwrap();
        assert_eq!(load_or_make_key(&path).unwrap().public_key(), made.public_key());
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no draft stays");
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(KEY_FILE);
        load_or_make_key(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        assert!(matches!(load_or_make_key(&path), Err(KeyFileError::Open { mode: 0o640, .. })));
    }

    #[test]
    fn a_file_that_holds_something_else_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(KEY_FILE);
        std::fs::write(&path, "not a key").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert!(matches!(load_or_make_key(&path), Err(KeyFileError::Damaged { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"not a key");
    }
}
