use sb_pgtypes::{Lsn, TimelineId};
use serde::{Deserialize, Serialize};

/// Most transactions that a report names; the rest is counted.
pub const LOST_TRANSACTIONS_MAX: usize = 10_000;

/// The committed transactions in WAL that a rewind takes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostWrites {
    /// The timeline that the diverged WAL is on.
    pub timeline: TimelineId,
    /// From where on it is diverged.
    pub fork: Lsn,
    /// The end of its last whole record.
    pub end: Lsn,
    /// The first [`LOST_TRANSACTIONS_MAX`] of them, oldest first.
    pub transactions: Vec<LostTransaction>,
    /// How many there are.
    pub transaction_count: u64,
    /// Whether the log was read to its end; else there may be more.
    pub complete: bool,
}

/// One transaction that was committed here and is not in the cluster's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostTransaction {
    /// Transaction id.
    pub xid: u32,
    /// Where its commit record starts.
    pub commit: Lsn,
    /// When it was committed by this server's clock, as `pg_waldump` prints it.
    pub committed_at: String,
}
