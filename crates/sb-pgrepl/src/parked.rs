use std::fs;
use std::path::{Path, PathBuf};

use sb_pgtypes::{Lineage, Lsn};

use crate::files::{
    copy_durably, make_private_dir, next_numbered, numbered, off_thread, read_if_present, remove_tree,
    sync_parent, write_durably,
};
use crate::lost_writes::diverged_timelines;
use crate::mounts::rename_reaches;
use crate::wal::Layout;
use crate::{FileError, Instance, LostWrites, PositionError, ToolError};

/// The report's name in its directory.
const REPORT: &str = "lost-writes.json";

/// The names of former data directories: `data-<n>`.
pub(crate) const PARKED_DATA: &str = "data";

/// The names of diverged logs: `wal-<n>`.
const PARKED_WAL: &str = "wal";

/// Most former data directories that are kept.
pub const PARKED_DATA_MAX: usize = 2;

/// Most diverged logs whose segments are kept; the reports of all are.
pub const PARKED_WAL_MAX: usize = 8;

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

    /// Deletes, for good, all but the newest [`PARKED_DATA_MAX`] former data directories, and the segments, not the reports,
    /// of all but the newest [`PARKED_WAL_MAX`] diverged logs. Returns what was deleted. To be called only once another
    /// verified copy exists (rule R8), such as this server's own when it has come up with it.
    ///
    /// # Errors
    /// When the parked directory cannot be read, or one cannot be removed.
    pub async fn trim_parked(&self) -> Result<Vec<PathBuf>, FileError> {
        let instance = self.clone();
        off_thread(move || {
            let directory = instance.parking()?;
            let data = numbered(&directory, PARKED_DATA)?.into_iter().map(|(_, path)| path);
            let logs = numbered(&directory, PARKED_WAL)?.into_iter().map(|(_, path)| path.join("pg_wal"));
            let logs = logs.filter(|path| path.exists());
            let mut surplus = all_but_newest(data.collect(), PARKED_DATA_MAX);
            surplus.extend(all_but_newest(logs.collect(), PARKED_WAL_MAX));
            surplus.iter().try_for_each(|path| remove_tree(path))?;
            Ok(surplus)
        })
        .await
    }

    /// Where former data goes: as configured, if a rename gets there, else beside the data directory.
    pub(crate) fn parking(&self) -> Result<PathBuf, FileError> {
        let chosen = &self.config().parked_dir;
        let reached = rename_reaches(self.data_dir(), chosen)?;
        Ok(if reached { chosen.clone() } else { self.beside_data("parked") })
    }

    /// The copy that an earlier attempt has made of the same log. Copies that were cut short are removed.
    fn parked_before(&self, parent: &Path, lost: &LostWrites) -> Result<Option<Parked>, FileError> {
        for (_, directory) in numbered(parent, PARKED_WAL)? {
            let Some(report) = read_if_present(&directory.join(REPORT))? else {
                remove_tree(&directory)?;
                continue;
            };
            let same = serde_json::from_str(&report).is_ok_and(|report: LostWrites| report == *lost);
            if same && directory.join("pg_wal").exists() {
                return Ok(Some(Parked { directory, lost_writes: lost.clone() }));
            }
        }
        Ok(None)
    }

    /// Copies the segments that `lost` is about, and the report, to a new directory, unless there is such a copy. The report is written last: where there
    /// is one, the copy is whole.
    fn park_wal(&self, lost: LostWrites, layout: Layout) -> Result<Parked, FileError> {
        let parent = self.parking()?;
        make_private_dir(&parent, None)?;
        if let Some(parked) = self.parked_before(&parent, &lost)? {
            return Ok(parked);
        }
        let directory = next_numbered(&parent, PARKED_WAL)?;
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

fn all_but_newest(mut oldest_first: Vec<PathBuf>, kept: usize) -> Vec<PathBuf> {
    oldest_first.truncate(oldest_first.len().saturating_sub(kept));
    oldest_first
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
