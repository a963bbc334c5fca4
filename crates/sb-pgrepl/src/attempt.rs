//! Directories of attempts, beside the data directory: `<data_dir>.<kind>-<n>`.
//!
//! Each attempt has a name of its own: a program of an earlier one may outlive its agent for a second, and must not write
//! into the next one's directory.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::files::{make_private_dir, off_thread, remove_tree};
use crate::{FileError, Instance};

impl Instance {
    /// Removes what earlier attempts have left, and makes an empty directory of PostgreSQL's user.
    pub(crate) async fn make_attempt(&self, kind: &str) -> Result<PathBuf, FileError> {
        let (stem, owner) = (self.beside_data(kind), self.config().run_as);
        off_thread(move || {
            let last = remove_attempts(&stem)?;
            let path = numbered(&stem, last + 1);
            make_private_dir(&path, owner)?;
            Ok(path)
        })
        .await
    }

    /// Removes what attempts have left.
    pub(crate) async fn remove_attempts(&self, kind: &str) -> Result<(), FileError> {
        let stem = self.beside_data(kind);
        off_thread(move || remove_attempts(&stem).map(|_| ())).await
    }
}

fn numbered(stem: &Path, n: u32) -> PathBuf {
    let mut name = stem.to_owned().into_os_string();
    name.push(format!("-{n}"));
    name.into()
}

/// The highest number that was there, 0 if none.
fn remove_attempts(stem: &Path) -> Result<u32, FileError> {
    let parent = stem.parent().unwrap_or(Path::new("/"));
    let entries = match fs::read_dir(parent) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        entries => entries.map_err(FileError::on("read", parent))?,
    };
    let mut last = 0;
    for entry in entries.flatten() {
        if let Some(n) = number(stem, &entry.path()) {
            remove_tree(&entry.path())?;
            last = last.max(n);
        }
    }
    Ok(last)
}

fn number(stem: &Path, path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.strip_prefix(stem.file_name()?.to_str()?)?.strip_prefix('-')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_never_takes_the_name_of_the_one_before() {
        let parent = tempfile::tempdir().unwrap();
        let stem = parent.path().join("data.cloning");
        fs::create_dir_all(numbered(&stem, 7).join("base")).unwrap();
        fs::create_dir(parent.path().join("data.cloning-mine")).unwrap();
        assert_eq!(remove_attempts(&stem).unwrap(), 7);
        assert_eq!(remove_attempts(&stem).unwrap(), 0);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1, "what is not an attempt stays");
    }
}
