use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use zeroize::Zeroizing;

use crate::bundle::BundleError;

/// Largest document copied into a bundle, in bytes.
const DOCUMENT_BYTES_MAX: u64 = 1024 * 1024;

/// Files to be written, made in memory first.
#[derive(Default)]
pub(super) struct Files(Vec<(PathBuf, Zeroizing<String>)>);

impl Files {
    pub(super) fn add(&mut self, path: PathBuf, text: String) {
        self.0.push((path, Zeroizing::new(text)));
    }

    pub(super) fn add_json<T: Serialize>(&mut self, path: PathBuf, value: &T) -> Result<(), BundleError> {
        let text = serde_json::to_string_pretty(value)?;
        self.add(path, text + "\n");
        Ok(())
    }

    /// Writes them below `out`, which is made: directories 0700, files 0600, on disk when this returns.
    pub(super) fn write(&self, out: &Path) -> Result<(), BundleError> {
        for (path, text) in &self.0 {
            let path = out.join(path);
            write_file(&path, text).map_err(|source| BundleError::Io { action: "write", path, source })?;
        }
        Ok(())
    }
}

fn write_file(path: &Path, text: &str) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::File::open(parent)?.sync_all()
}

/// The JSON documents of a directory, by file name, as they are.
pub(super) fn read_documents(directory: &Path) -> Result<Vec<(String, String)>, BundleError> {
    let mut documents = Vec::new();
    for entry in fs::read_dir(directory).map_err(|source| failed(directory, source))? {
        let path = entry.map_err(|source| failed(directory, source))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if !name.ends_with(".json") {
            continue;
        }
        let bytes = fs::metadata(&path).map_err(|source| failed(&path, source))?.len();
        if bytes > DOCUMENT_BYTES_MAX {
            let source = io::Error::other(format!("it has {bytes} bytes, more than {DOCUMENT_BYTES_MAX}"));
            return Err(failed(&path, source));
        }
        documents.push((name, fs::read_to_string(&path).map_err(|source| failed(&path, source))?));
    }
    documents.sort();
    let none = || BundleError::NoDocuments { path: directory.to_owned() };
    if documents.is_empty() { Err(none()) } else { Ok(documents) }
}

fn failed(path: &Path, source: io::Error) -> BundleError {
    BundleError::Io { action: "read", path: path.to_owned(), source }
}

/// Refuses a place where something is.
pub(super) fn check_unused(out: &Path) -> Result<(), BundleError> {
    match fs::read_dir(out) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(BundleError::InUse { path: out.to_owned() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(BundleError::InUse { path: out.to_owned() })
        }
        Err(source) => Err(BundleError::Io { action: "read", path: out.to_owned(), source }),
    }
}
