use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
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
    ///
    /// They are written beside `out` and get its name at the end: all of them are there, or none.
    pub(super) fn write(&self, out: &Path) -> Result<(), BundleError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| BundleError::Io { action: "write", path, source }
        };
        let parent = parent_of(out);
        make_directories(parent).map_err(failed(parent))?;
        let mut unfinished = OsString::from(".");
        unfinished.push(out.file_name().unwrap_or_default());
        unfinished.push(".");
        let private = fs::Permissions::from_mode(0o700);
        let unfinished = tempfile::Builder::new().prefix(&unfinished).permissions(private).tempdir_in(parent);
        let unfinished = unfinished.map_err(failed(parent))?;
        for (path, text) in &self.0 {
            write_file(&unfinished.path().join(path), text).map_err(failed(&out.join(path)))?;
        }
        fs::rename(unfinished.path(), out).map_err(failed(out))?;
        let _moved = unfinished.keep();
        fs::File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed(parent))
    }
}

/// Where a path stands; the current directory for a bare name.
fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn make_directories(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn write_file(path: &Path, text: &str) -> io::Result<()> {
    let parent = parent_of(path);
    make_directories(parent)?;
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

/// Refuses a place where something is, and one that nothing can be renamed to.
pub(super) fn check_unused(out: &Path) -> Result<(), BundleError> {
    if out.file_name().is_none() {
        return Err(BundleError::Nameless { path: out.to_owned() });
    }
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
