use std::path::Path;
use std::time::Duration;

use sb_pgtypes::{Lsn, SystemIdentifier, TimelineId};

use crate::{Instance, ToolError};

/// Longest run of `pg_controldata`: it reads one file of 8 KiB.
const CONTROL_DATA_SECONDS_MAX: u64 = 10;

/// `pg_controldata`'s label and the setting's name: what a standby may not undercut (manual, section 27.4.3).
const FLOORS: [(&str, &str); 5] = [
    ("max_connections setting", "max_connections"),
    ("max_worker_processes setting", "max_worker_processes"),
    ("max_wal_senders setting", "max_wal_senders"),
    ("max_prepared_xacts setting", "max_prepared_transactions"),
    ("max_locks_per_xact setting", "max_locks_per_transaction"),
];

/// What `pg_controldata` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlData {
    /// The cluster.
    pub system_identifier: SystemIdentifier,
    /// In what state the control file was last written.
    pub state: ClusterState,
    /// Start of the last checkpoint's record.
    pub checkpoint: Lsn,
    /// Where recovery from that checkpoint begins.
    pub redo: Lsn,
    /// The timeline at that checkpoint. On PostgreSQL 15 a promoted server's stays the former one until its next checkpoint.
    pub timeline: TimelineId,
    /// A standby is consistent only past this; [`Lsn::INVALID`] on a primary.
    pub min_recovery_end: Lsn,
    /// The timeline of that; [`None`] on a primary.
    pub min_recovery_timeline: Option<TimelineId>,
    /// Bytes of a WAL segment.
    pub wal_segment_bytes: u64,
    /// Bytes of a WAL page.
    pub wal_page_bytes: u64,
    /// Data checksums are on.
    pub checksums: bool,
    /// `wal_log_hints` was on.
    pub wal_log_hints: bool,
    /// Settings of the primary that a standby may not undercut (manual, section 27.4.3), name to value.
    pub floors: Vec<(&'static str, u32)>,
}

/// The state in the control file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// `starting up`.
    StartingUp,
    /// `shut down`: a primary that ended in order.
    ShutDown,
    /// `shut down in recovery`: a standby that ended in order.
    ShutDownInRecovery,
    /// `shutting down`.
    ShuttingDown,
    /// `in crash recovery`.
    InCrashRecovery,
    /// `in archive recovery`: a standby that runs or was cut short.
    InArchiveRecovery,
    /// `in production`: a primary that runs or was cut short.
    InProduction,
}

/// The control file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ControlDataError {
    /// `pg_controldata` did not succeed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A line is missing or has another form.
    #[error("`pg_controldata` gave no usable `{field}`")]
    Field {
        /// The line's label.
        field: &'static str,
    },
}

impl Instance {
    /// Reads the control file, of a running server too.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub async fn control_data(&self) -> Result<ControlData, ControlDataError> {
        self.control_data_of(self.data_dir()).await
    }

    pub(crate) async fn control_data_of(&self, data_dir: &Path) -> Result<ControlData, ControlDataError> {
        let tool = self.tool("pg_controldata").arg("-D").arg(data_dir);
        let text = tool.run(Duration::from_secs(CONTROL_DATA_SECONDS_MAX)).await?;
        ControlData::parse(&text)
    }
}

impl ControlData {
    fn parse(text: &str) -> Result<Self, ControlDataError> {
        let word = |field: &'static str| {
            let line =
                text.lines().find_map(|line| line.split_once(':').filter(|(label, _)| *label == field));
            line.map(|(_, value)| value.trim()).ok_or(ControlDataError::Field { field })
        };
        let lsn = |field| word(field)?.parse::<Lsn>().map_err(|_| ControlDataError::Field { field });
        let number = |field| word(field)?.parse::<u32>().map_err(|_| ControlDataError::Field { field });
        let timeline = |field| Ok::<_, ControlDataError>(TimelineId::try_from(number(field)?).ok());
        let checkpoint_timeline = "Latest checkpoint's TimeLineID";
        let identifier = "Database system identifier";
        Ok(Self {
            system_identifier: word(identifier)?
                .parse()
                .map_err(|_| ControlDataError::Field { field: identifier })?,
            state: state(word("Database cluster state")?)?,
            checkpoint: lsn("Latest checkpoint location")?,
            redo: lsn("Latest checkpoint's REDO location")?,
            timeline: timeline(checkpoint_timeline)?
                .ok_or(ControlDataError::Field { field: checkpoint_timeline })?,
            min_recovery_end: lsn("Minimum recovery ending location")?,
            min_recovery_timeline: timeline("Min recovery ending loc's timeline")?,
            wal_segment_bytes: number("Bytes per WAL segment")?.into(),
            wal_page_bytes: number("WAL block size")?.into(),
            checksums: number("Data page checksum version")? > 0,
            wal_log_hints: word("wal_log_hints setting")? == "on",
            floors: FLOORS
                .into_iter()
                .map(|(label, name)| Ok((name, number(label)?)))
                .collect::<Result<_, ControlDataError>>()?,
        })
    }

    /// Whether the directory is a standby's: only a promotion may make a primary of it.
    pub(crate) const fn is_standby(&self) -> bool {
        matches!(self.state, ClusterState::ShutDownInRecovery | ClusterState::InArchiveRecovery)
    }
}

fn state(words: &str) -> Result<ClusterState, ControlDataError> {
    Ok(match words {
        "starting up" => ClusterState::StartingUp,
        "shut down" => ClusterState::ShutDown,
        "shut down in recovery" => ClusterState::ShutDownInRecovery,
        "shutting down" => ClusterState::ShuttingDown,
        "in crash recovery" => ClusterState::InCrashRecovery,
        "in archive recovery" => ClusterState::InArchiveRecovery,
        "in production" => ClusterState::InProduction,
        _ => return Err(ControlDataError::Field { field: "Database cluster state" }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_line_is_named() {
        let error = ControlData::parse("pg_control version number: 1300\n").unwrap_err();
        assert!(
            matches!(error, ControlDataError::Field { field: "Database system identifier" }),
            "{error:?}"
        );
    }
}
