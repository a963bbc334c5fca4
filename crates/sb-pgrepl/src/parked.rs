use std::fs;
use std::path::{Path, PathBuf};

use sb_pgtypes::{Lineage, Lsn};

use crate::files::{copy_durably, make_private_dir, next_free, sync_parent, write_durably};
use crate::lost_writes::diverged_timelines;
use crate::wal::Layout;
use crate::{FileError, Instance, LostWrites};

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

impl Instance {
    /// Copies the segments that `lost` is about, and the report, to a new directory. The report is written last: where there
    /// is one, the copy is whole.
    pub(crate) fn park_wal(&self, lost: LostWrites, layout: Layout) -> Result<Parked, FileError> {
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
