use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sb_topology::ServerName;
use sb_wireguard::preshared::{Shared, SharedTextError};
use zeroize::Zeroizing;

use crate::Layout;
use crate::mesh::rotation::{remove_draft, replace_secret};

/// Longest file that is read, in bytes: far more than a line for each server.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What stands for no moment.
const NEVER: &str = "-";

/// The file with the preshared keys cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PairFileError {
    /// The system refuses.
    #[error("could not {act} `{}`", path.display())]
    File {
        /// What was tried.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line says nothing.
    #[error("`{}` is damaged in line {line}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong, when it is more than the form.
        source: Option<SharedTextError>,
    },
}

/// What this server shares with one other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::mesh) struct HeldPair {
    /// The secrets.
    pub(in crate::mesh) shared: Shared,
    /// The wall clock when the one that is kept was proven, since the Unix epoch, in whole seconds. For people.
    pub(in crate::mesh) since: Option<Duration>,
}

/// The secrets of this server's pairs: in memory what is on disk.
#[derive(Debug)]
pub(in crate::mesh) struct PairFile {
    path: PathBuf,
    pairs: BTreeMap<ServerName, HeldPair>,
}

impl PairFile {
    /// One that nothing was read from.
    pub(in crate::mesh) fn empty(layout: &Layout) -> Self {
        Self { path: layout.mesh_preshared_file(), pairs: BTreeMap::new() }
    }

    /// Reads what is there; no file is nothing shared.
    ///
    /// # Errors
    /// When it cannot be read, or a line of it says nothing: secrets are not guessed.
    pub(in crate::mesh) fn open(layout: &Layout) -> Result<Self, PairFileError> {
        let mut file = Self::empty(layout);
        // Secrets of which half was written are nobody's.
        remove_draft(&file.path).map_err(|source| file.failed("write", source))?;
        let mut text = Zeroizing::new(String::new());
        let read =
            File::open(&file.path).and_then(|opened| opened.take(FILE_BYTES_MAX).read_to_string(&mut text));
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(file),
            read => drop(read.map_err(|source| file.failed("read", source))?),
        }
        for (at, line) in text.lines().enumerate() {
            let damaged = |source| PairFileError::Damaged { path: file.path.clone(), line: at + 1, source };
            let (peer, pair) = read_line(line).map_err(damaged)?;
            file.pairs.insert(peer, pair);
        }
        Ok(file)
    }

    /// What is shared with `peer`.
    pub(in crate::mesh) fn of(&self, peer: &ServerName) -> HeldPair {
        self.pairs.get(peer).cloned().unwrap_or_default()
    }

    /// Has `shared` on disk, then in memory.
    ///
    /// # Errors
    /// When the disk refuses; nothing has changed then.
    pub(in crate::mesh) fn store(&mut self, peer: &ServerName, shared: Shared) -> Result<(), PairFileError> {
        let before = self.of(peer);
        let since = match &shared.kept {
            None => None,
            Some(kept) if before.shared.kept.as_ref() == Some(kept) => before.since,
            Some(_) => Some(now()),
        };
        let mut pairs = self.pairs.clone();
        pairs.insert(peer.clone(), HeldPair { shared, since });
        replace_secret(&self.path, text_of(&pairs).as_bytes())
            .map_err(|source| self.failed("write", source))?;
        self.pairs = pairs;
        Ok(())
    }

    fn failed(&self, act: &'static str, source: io::Error) -> PairFileError {
        PairFileError::File { act, path: self.path.clone(), source }
    }
}

/// A line a pair: the other server, since when, and what is shared.
fn text_of(pairs: &BTreeMap<ServerName, HeldPair>) -> Zeroizing<String> {
    // Long enough from the beginning: a text that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(pairs.len() * 512));
    for (peer, pair) in pairs {
        let since = pair.since.map_or_else(|| NEVER.to_owned(), |since| since.as_secs().to_string());
        writeln!(text, "{peer} {since} {}", *pair.shared.expose_text())
            .expect("a string takes all that is written");
    }
    text
}

fn read_line(line: &str) -> Result<(ServerName, HeldPair), Option<SharedTextError>> {
    let mut words = line.splitn(3, ' ');
    let (Some(peer), Some(since), Some(shared)) = (words.next(), words.next(), words.next()) else {
        return Err(None);
    };
    let peer = peer.parse().map_err(|_| None)?;
    let since = match since {
        NEVER => None,
        seconds => Some(Duration::from_secs(seconds.parse().map_err(|_| None)?)),
    };
    Ok((peer, HeldPair { shared: shared.parse().map_err(Some)?, since }))
}

fn now() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(now.as_secs())
}
