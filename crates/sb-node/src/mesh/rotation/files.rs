use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sb_wireguard::rotation::Owner;
use sb_wireguard::{PrivateKey, PublicKey};

use super::super::key_file::{KeyFileError, load_key};
use super::standing::{Found, Standing, understand};
use crate::Layout;
use crate::mesh::agreed::Agreed;

/// What the name of the new key's file has behind the old one's.
const NEW_SUFFIX: &str = ".new";

/// Longest state line that is read, in bytes: a word, a server's name and two keys.
const LINE_BYTES_MAX: u64 = 1024;

/// What a rotation keeps on disk cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// One of the key files.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// Anything else.
    #[error("could not {act} `{}`", path.display())]
    File {
        /// What was tried.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The server's key, the one that is to take its place, and how far that is. Each change is one step that a crash
/// leaves done or not done.
#[derive(Debug)]
pub(in crate::mesh) struct RotationFiles {
    key: PathBuf,
    new: PathBuf,
    line: PathBuf,
}

/// The private keys of a server: one, or two during a rotation.
#[derive(Debug, Clone)]
pub(in crate::mesh) struct HeldKeys {
    /// In the server's key file.
    pub(in crate::mesh) kept: PrivateKey,
    /// In the file beside it.
    pub(in crate::mesh) new: Option<PrivateKey>,
}

impl HeldKeys {
    /// The private half of `key`.
    pub(in crate::mesh) fn of(&self, key: &PublicKey) -> Option<&PrivateKey> {
        [Some(&self.kept), self.new.as_ref()].into_iter().flatten().find(|held| held.public_key() == *key)
    }
}

impl RotationFiles {
    pub(in crate::mesh) fn new(layout: &Layout) -> Self {
        let key = layout.mesh_key_file();
        let mut new = key.clone().into_os_string();
        new.push(NEW_SUFFIX);
        Self { key, new: new.into(), line: layout.mesh_rotation_file() }
    }

    /// Reads everything, and puts right what a crash left behind.
    ///
    /// # Errors
    /// When the server's key is missing or cannot be trusted, or a file cannot be changed.
    pub(in crate::mesh) fn open(
        &self,
        server: &sb_topology::ServerName,
        agreed: &Agreed,
    ) -> Result<(HeldKeys, Standing), FilesError> {
        // A key of which half was written is nobody's.
        remove_draft(&self.new).map_err(failed("remove", &self.new))?;
        let kept = load_key(&self.key)?;
        let new = match load_key(&self.new) {
            Err(KeyFileError::Missing { .. }) => None,
            loaded => Some(loaded?),
        };
        let found = Found {
            kept: kept.public_key(),
            new: new.as_ref().map(PrivateKey::public_key),
            line: self.read_line()?,
        };
        let standing = understand(server, &found, agreed);
        let mut keys = HeldKeys { kept, new };
        if found.new.is_some() && !standing.new_is_needed {
            self.discard_new()?;
            keys.new = None;
        }
        match &standing.line {
            Some(line) if found.line.as_ref() != Some(line) => self.write_line(line)?,
            None => self.remove_line()?,
            Some(_) => {}
        }
        Ok((keys, standing))
    }

    /// Makes the new key: on disk before anybody hears of it.
    pub(super) fn make_new(&self) -> Result<PrivateKey, FilesError> {
        let key = PrivateKey::generate();
        let mut text = key.expose_base64();
        text.push('\n');
        replace(&self.new, text.as_bytes())?;
        Ok(key)
    }

    /// Has the new key, which is `keep`, take the place of the old one, which is gone then.
    pub(super) fn settle_new(&self, keep: &PublicKey) -> Result<(), FilesError> {
        match std::fs::rename(&self.new, &self.key) {
            // Done before, when nobody could say whether it was on disk.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && load_key(&self.key)?.public_key() == *keep => {}
            renamed => renamed.map_err(failed("replace", &self.key))?,
        }
        sync_directory(&self.key).map_err(failed("replace", &self.key))
    }

    /// Throws the new key away.
    pub(super) fn discard_new(&self) -> Result<(), FilesError> {
        remove(&self.new)
    }

    pub(super) fn write_line(&self, owner: &Owner) -> Result<(), FilesError> {
        replace(&self.line, format!("{owner}\n").as_bytes())
    }

    pub(super) fn remove_line(&self) -> Result<(), FilesError> {
        remove(&self.line)
    }

    /// A line that says nothing is as none: the keys and the agreement say the rest.
    fn read_line(&self) -> Result<Option<Owner>, FilesError> {
        let mut text = String::new();
        let read = File::open(&self.line)
            .and_then(|file| io::Read::read_to_string(&mut io::Read::take(file, LINE_BYTES_MAX), &mut text));
        match read {
            Ok(_) => Ok(text.parse().map_err(|error| tracing::warn!(%error, "a line is ignored")).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            Err(source) => Err(failed("read", &self.line)(source)),
        }
    }
}

/// A new file, readable by its owner alone, renamed over the one before.
pub(in crate::mesh) fn replace_secret(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = draft_of(path);
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    sync_directory(path)
}

/// Takes away what a crash left of a file that was about to take this one's place.
pub(in crate::mesh) fn remove_draft(path: &Path) -> io::Result<()> {
    remove_if_there(&draft_of(path))
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), FilesError> {
    replace_secret(path, bytes).map_err(failed("write", path))
}

fn draft_of(path: &Path) -> PathBuf {
    let mut draft = path.to_owned().into_os_string();
    draft.push(".draft");
    draft.into()
}

fn remove(path: &Path) -> Result<(), FilesError> {
    remove_if_there(path).map_err(failed("remove", path))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_directory(path),
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

fn failed(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FilesError {
    move |source| FilesError::File { act, path: path.to_owned(), source }
}
