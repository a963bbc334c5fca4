use std::path::PathBuf;

use crate::LostWrites;

/// Diverged WAL that was kept aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// Its directory, with the segments in `pg_wal/` and the report in `lost-writes.json`.
    pub directory: PathBuf,
    /// The report.
    pub lost_writes: LostWrites,
}
