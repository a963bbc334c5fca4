use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::OpenError;
use crate::limits::{ENTRY_BYTES_MAX, RECORD_BYTES_MAX};
use crate::replica::{Disk, DiskContent, DiskError, Record, Snapshot};

use super::super::config::MakeRoom;
use super::frame;
use super::identity::{Directory, failed, replace_file, sync_directory};
use super::recovery::NewFiles;

/// Entries of at most [`crate::limits::ENTRY_BYTES_MAX`] that fit one record.
const ENTRIES_PER_PART: usize = RECORD_BYTES_MAX / (2 * ENTRY_BYTES_MAX);

/// Log and snapshot in a directory.
///
/// The log is one file that only grows, a record a batch, synced before it counts. A snapshot replaces the snapshot
/// file, then the log: a crash in between leaves a newer snapshot beside an older log, which is understood.
pub(crate) struct FileDisk {
    directory: Directory,
    log: File,
    end: u64,
    make_room: MakeRoom,
}

impl FileDisk {
    /// Begins with this content. To be called where there is no log.
    ///
    /// The log is what makes it valid. A crash before it is there leaves nothing that counts, one after it a first
    /// snapshot that the next start puts in its place.
    pub(crate) fn create(directory: Directory, content: &DiskContent) -> Result<Self, OpenError> {
        if let Some(snapshot) = &content.snapshot {
            write(&directory.first_snapshot(), snapshot)?;
        }
        let (log, end) = write(&directory.log(), &content.log())?;
        if content.snapshot.is_some() {
            settle_first_snapshot(&directory)?;
        }
        Ok(Self { directory, log, end, make_room: MakeRoom::none() })
    }

    /// The files that [`create`](Self::create) would write, as bytes.
    pub(crate) fn files(content: &DiskContent, identity: Vec<u8>) -> Option<NewFiles> {
        let snapshot = frame::encode(content.snapshot.as_ref()?)?;
        Some(NewFiles { log: frame::encode(&content.log())?, snapshot, identity })
    }

    /// Reads what is there and cuts a torn tail off.
    pub(crate) fn open(directory: Directory) -> Result<(Self, DiskContent), OpenError> {
        let path = directory.log();
        let corrupt = |reason: String| OpenError::Corrupt { path: path.clone(), reason };
        if let Ok(reason) = fs::read_to_string(directory.condemned()) {
            return Err(corrupt(reason));
        }
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(corrupt("it is missing beside a snapshot".into()));
            }
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let scan = frame::scan::<Record>(&bytes).map_err(|damage| corrupt(damage.to_string()))?;
        if scan.records.first().is_none_or(|record| record.base.is_none()) {
            return Err(corrupt("it has no beginning".into()));
        }
        settle_first_snapshot(&directory)?;
        let snapshot = read_snapshot(&directory)?;
        let content = DiskContent::assemble(snapshot, scan.records).map_err(corrupt)?;
        let log = File::options().read(true).write(true).open(&path).map_err(failed("open", &path))?;
        let end = scan.end as u64;
        if scan.end < bytes.len() {
            let torn_bytes = bytes.len() - scan.end;
            tracing::warn!(torn_bytes, "cut off the record that was being written when the server died");
            log.set_len(end).and_then(|()| log.sync_all()).map_err(failed("cut", &path))?;
        }
        Ok((Self { directory, log, end, make_room: MakeRoom::none() }, content))
    }

    /// The same, with somebody who makes room when there is none.
    pub(crate) fn with_room_from(self, make_room: MakeRoom) -> Self {
        Self { make_room, ..self }
    }

    fn replace_whole(&self, path: &Path, bytes: &[u8]) -> Result<File, DiskError> {
        self.make_room.until_it_fits(|| replace_file(path, bytes).map_err(full_or_fatal(path)))
    }

    /// Gives the directory back.
    pub(crate) fn into_directory(self) -> Directory {
        self.directory
    }

    fn write_log(&self, bytes: &[u8]) -> Result<(), DiskError> {
        let path = self.directory.log();
        match self.log.write_all_at(bytes, self.end) {
            Ok(()) => {}
            Err(error) if is_full(&error) => {
                self.log.set_len(self.end).map_err(fatal("cut", &path))?;
                return Err(DiskError::Full);
            }
            Err(error) => return Err(fatal("write", &path)(error)),
        }
        self.log.sync_data().map_err(fatal("sync", &path))
    }
}

impl Disk for FileDisk {
    fn append(&mut self, record: &Record) -> Result<(), DiskError> {
        let bytes = encode(&self.directory.log(), record)?;
        self.make_room.until_it_fits(|| self.write_log(&bytes))?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn replace(&mut self, snapshot: &Snapshot, log: &Record) -> Result<(), DiskError> {
        let (snapshot_path, log_path) = (self.directory.snapshot(), self.directory.log());
        let bytes = encode(&snapshot_path, snapshot)?;
        self.replace_whole(&snapshot_path, &bytes)?;
        let mut bytes = Vec::new();
        for part in split(log) {
            bytes.extend(encode(&log_path, &part)?);
        }
        self.log = self.replace_whole(&log_path, &bytes)?;
        self.end = bytes.len() as u64;
        Ok(())
    }

    fn condemn(&mut self, reason: &str) {
        let path = self.directory.condemned();
        if let Err(error) = replace_file(&path, reason.as_bytes()) {
            tracing::error!(path = %path.display(), %error, "could not note that the directory must not be used again");
        }
    }
}

/// A log that is written as a whole may be long. It is put in place by renaming, so its records need not be one.
fn split(log: &Record) -> impl Iterator<Item = Record> {
    let first = Record { base: log.base, ballot: log.ballot, entries: Vec::new() };
    let parts = log.entries.chunks(ENTRIES_PER_PART);
    let parts = parts.map(|entries| Record { base: None, ballot: log.ballot, entries: entries.to_vec() });
    std::iter::once(first).chain(parts)
}

/// Puts the first snapshot in its place, if it waits for that.
fn settle_first_snapshot(directory: &Directory) -> Result<(), OpenError> {
    let (first, path) = (directory.first_snapshot(), directory.snapshot());
    match fs::rename(&first, &path) {
        Ok(()) => sync_directory(&path).map_err(failed("put a snapshot in", directory.path())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("rename", &first)(error)),
    }
}

fn read_snapshot(directory: &Directory) -> Result<Option<Snapshot>, OpenError> {
    let path = directory.snapshot();
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", &path)(error)),
    };
    let scan = frame::scan::<Snapshot>(&bytes);
    let sound = scan.ok().filter(|scan| scan.end == bytes.len() && scan.records.len() == 1);
    let snapshot = sound.and_then(|scan| scan.records.into_iter().next()).filter(Snapshot::is_sound);
    let reason = "it is not one whole snapshot".to_owned();
    snapshot.map(Some).ok_or(OpenError::Corrupt { path, reason })
}

fn write(path: &Path, record: &impl serde::Serialize) -> Result<(File, u64), OpenError> {
    let too_large = || io::Error::from(ErrorKind::FileTooLarge);
    let bytes = frame::encode(record).ok_or_else(too_large).map_err(failed("write", path))?;
    let file = replace_file(path, &bytes).map_err(failed("write", path))?;
    Ok((file, bytes.len() as u64))
}

fn encode(path: &Path, record: &impl serde::Serialize) -> Result<Vec<u8>, DiskError> {
    let too_large = || fatal("encode a record for", path)(ErrorKind::FileTooLarge.into());
    frame::encode(record).ok_or_else(too_large)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

fn fatal(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    let path = path.to_path_buf();
    move |source| DiskError::Failed { what, path, source }
}

fn full_or_fatal(path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    move |error| if is_full(&error) { DiskError::Full } else { fatal("replace", path)(error) }
}
