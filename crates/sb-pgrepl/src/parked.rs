use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sb_pgtypes::{Lineage, Lsn};

use crate::files::{
    copy_durably, make_private_dir, next_free, off_thread, remove_tree, sync_parent, write_durably,
};
use crate::lost_writes::diverged_timelines;
use crate::wal::Layout;
use crate::{FileError, Instance, LostWrites, PositionError, ToolError};

/// The report's name in its directory.
const REPORT: &str = "lost-writes.json";

/// Diverged WAL that was kept aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// Its directory, with the segments in `pg_wal/` and the report in `lost-writes.json`.
    pub directory: PathBuf,
    /// The report.
    pub lost_writes: LostWrites,
}

/// The diverged WAL was not kept aside; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ParkError {
    /// The log's end or lineage cannot be read.
    #[error(transparent)]
    Position(#[from] PositionError),
    /// The transactions in it could not be listed.
    #[error("could not list the transactions in the diverged WAL")]
    Report(#[from] ToolError),
    /// It could not be copied.
    #[error("could not copy the diverged WAL")]
    Copy(#[from] FileError),
}

impl Instance {
    /// Copies the WAL of a stopped server from `fork` on to the parked directory, with a report of the transactions in it
    /// (rule R8). [`None`] when its log ends before the fork. [`Instance::rewind_from`] does it by itself; call it before a
    /// re-clone of a diverged server.
    ///
    /// # Errors
    /// When it is not kept aside; then nothing was changed.
    pub async fn park_diverged_wal(&self, fork: Lsn) -> Result<Option<Parked>, ParkError> {
        let control = self.control_data().await.map_err(PositionError::from)?;
        let (lineage, end) = match self.position_on_disk().await? {
            Some(position) => (position.lineage, Some(position.flushed)),
            None => (self.lineage().await?, None),
        };
        if end.is_some_and(|end| end <= fork) {
            return Ok(None);
        }
        let lost = self.lost_writes(&lineage, fork, end).await?;
        let instance = self.clone();
        Ok(Some(off_thread(move || instance.park_wal(lost, control.layout())).await?))
    }

    /// Former data directories that clones have parked, oldest first.
    ///
    /// # Errors
    /// When the parked directory cannot be read.
    pub fn parked_data(&self) -> Result<Vec<PathBuf>, FileError> {
        let directory = &self.config().parked_dir;
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(FileError::on("read", directory))?,
        };
        let number = |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix("data-")?.parse::<u32>().ok();
        let mut parked: Vec<_> =
            entries.flatten().map(|e| e.path()).filter(|path| number(path).is_some()).collect();
        parked.sort_by_key(number);
        Ok(parked)
    }

    /// Deletes the parked data directories, for good. To be called only once another verified copy exists, such as this
    /// server's new one when it streams (rule R8). Diverged WAL and reports stay.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub async fn discard_parked_data(&self) -> Result<(), FileError> {
        let parked = self.parked_data()?;
        off_thread(move || parked.iter().try_for_each(|path| remove_tree(path))).await
    }

    /// Copies the segments that `lost` is about, and the report, to a new directory. The report is written last: where there
    /// is one, the copy is whole.
    fn park_wal(&self, lost: LostWrites, layout: Layout) -> Result<Parked, FileError> {
        let parent = &self.config().parked_dir;
        make_private_dir(parent, None)?;
        let directory = next_free(parent, &format!("wal-timeline-{}", lost.lineage.current()));
        let (from, to) = (self.in_data("pg_wal"), directory.join("pg_wal"));
        make_private_dir(&to, None)?;
        for name in diverged_files(&from, &lost.lineage, lost.fork, lost.end, layout)? {
            copy_durably(&from.join(&name), &to.join(&name))?;
        }
        sync_parent(&to.join(REPORT))?;
        let report = serde_json::to_vec_pretty(&lost).expect("plain numbers and strings make JSON");
        write_durably(&directory.join(REPORT), &report, 0o600, None)?;
        sync_parent(&directory)?;
        Ok(Parked { directory, lost_writes: lost })
    }
}

/// The segments that hold the log between `fork` and `end`, and the histories.
fn diverged_files(
    wal: &Path,
    lineage: &Lineage,
    fork: Lsn,
    end: Option<Lsn>,
    layout: Layout,
) -> Result<Vec<String>, FileError> {
    let timelines = diverged_timelines(lineage, fork);
    // Beyond the end there are only segments made ahead or to be used again.
    let last = end.map_or(u64::MAX, |end| layout.segment(end));
    let wanted = |name: &String| match layout.parse_name(name) {
        Some((timeline, number)) => {
            timelines.contains(&timeline) && (layout.segment(fork)..=last).contains(&number)
        }
        None => name.ends_with(".history"),
    };
    let entries = fs::read_dir(wal).map_err(FileError::on("read", wal))?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).filter(wanted).collect())
}
