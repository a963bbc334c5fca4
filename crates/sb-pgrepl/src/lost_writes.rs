use std::time::Duration;

use sb_pgtypes::{Lineage, Lsn, TimelineId};
use serde::{Deserialize, Serialize};

use crate::position::Record;
use crate::{Instance, ToolError};

/// Longest time to read the diverged log of one timeline.
const READ_SECONDS_MAX: u64 = 120;

/// Most transactions that a report names; the rest is counted.
pub const LOST_TRANSACTIONS_MAX: usize = 10_000;

/// The committed transactions in WAL that a rewind takes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostWrites {
    /// The history that the diverged WAL is on.
    pub lineage: Lineage,
    /// From where on it is diverged.
    pub fork: Lsn,
    /// The end of its last whole record, if that could be found.
    pub end: Option<Lsn>,
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

/// A timeline's part of a diverged log.
struct Branch {
    timeline: TimelineId,
    from: Lsn,
    /// Where it was left for the next; [`None`] for the last.
    to: Option<Lsn>,
}

/// The parts of `lineage` from `fork` on.
fn branches(lineage: &Lineage, fork: Lsn) -> Vec<Branch> {
    let left = lineage.forks().iter().filter(|left| left.at > fork);
    let mut parts: Vec<_> =
        left.map(|left| Branch { timeline: left.from, from: fork, to: Some(left.at) }).collect();
    parts.push(Branch { timeline: lineage.current(), from: fork, to: None });
    for next in 1..parts.len() {
        parts[next].from = parts[next - 1].to.unwrap_or(fork);
    }
    parts
}

/// The timelines that a diverged log is on.
pub(crate) fn diverged_timelines(lineage: &Lineage, fork: Lsn) -> Vec<u32> {
    branches(lineage, fork).iter().map(|branch| branch.timeline.get()).collect()
}

impl Instance {
    /// Reads what was committed in the log of this stopped server from `fork` on.
    pub(crate) async fn lost_writes(
        &self,
        lineage: &Lineage,
        fork: Lsn,
        end: Option<Lsn>,
    ) -> Result<LostWrites, ToolError> {
        let (lineage, transactions) = (lineage.clone(), Vec::new());
        let mut lost = LostWrites { lineage, fork, end, transactions, transaction_count: 0, complete: true };
        for branch in branches(&lost.lineage, fork) {
            let mut tool = self.waldump(branch.timeline, branch.from).args(&["-r", "Transaction"]);
            if let Some(to) = branch.to {
                tool = tool.args(&["-e", &to.to_string()]);
            }
            let read = tool.run_lines(Duration::from_secs(READ_SECONDS_MAX), |line| lost.note(line)).await;
            match read {
                Ok(_) => {}
                // A log ends in something that is not a record; that is its end if an end was found before.
                Err(ToolError::Failed { .. }) => lost.complete &= end.is_some(),
                Err(ToolError::Deadline { .. }) => lost.complete = false,
                Err(error @ ToolError::Spawn { .. }) => return Err(error),
            }
        }
        Ok(lost)
    }
}

impl LostWrites {
    fn note(&mut self, line: &str) {
        let Some(record) = Record::parse(line).filter(|r| r.xid > 0) else { return };
        let Some(words) = record.description.strip_prefix("COMMIT") else { return };
        self.transaction_count += 1;
        if self.transactions.len() < LOST_TRANSACTIONS_MAX {
            let committed_at =
                words.trim_start_matches("_PREPARED").split(';').next().unwrap_or_default().trim();
            self.transactions.push(LostTransaction {
                xid: record.xid,
                commit: record.start,
                committed_at: committed_at.to_owned(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_over_two_timelines_is_read_in_two_parts() {
        let second = TimelineId::try_from(2).unwrap();
        let lineage = Lineage::first().forked(Lsn::new(200), second).unwrap();
        let parts: Vec<_> =
            branches(&lineage, Lsn::new(100)).iter().map(|b| (b.timeline.get(), b.from.get())).collect();
        assert_eq!(parts, [(1, 100), (2, 200)]);
        assert_eq!(diverged_timelines(&lineage, Lsn::new(250)), [2]);
    }
}
