//! Where a stopped server's log ends, from its files.

use std::path::Path;
use std::time::Duration;

use sb_pgtypes::{Lineage, LineageError, Lsn, Position, TimelineId};

use crate::files::off_thread;
use crate::histories::Histories;
use crate::wal::Layout;
use crate::{ClusterState, ControlData, ControlDataError, FileError, Instance, ToolError};

/// Longest search for the end of a log: at most what lies between two checkpoints.
const SEARCH_SECONDS_MAX: u64 = 60;

/// The position or lineage cannot be known.
#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    /// The control file cannot be read.
    #[error(transparent)]
    ControlData(#[from] ControlDataError),
    /// A history file or the log's directory cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A history file is missing or has another form.
    #[error("the history of timeline {timeline} is missing or damaged")]
    History {
        /// The timeline.
        timeline: TimelineId,
        /// Why; [`None`] when it is missing.
        #[source]
        source: Option<LineageError>,
    },
    /// A primary that did not end in order has no shutdown checkpoint.
    #[error("the server was not shut down in order ({state:?}): its WAL has no shutdown checkpoint")]
    NotShutDown {
        /// What the control file says.
        state: ClusterState,
    },
    /// WAL is not where the control file says.
    #[error("the record of the shutdown checkpoint could not be read")]
    NoRecord(#[source] Option<ToolError>),
}

/// One record as `pg_waldump` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) length: u64,
    pub(crate) xid: u32,
    pub(crate) start: Lsn,
    pub(crate) description: &'a str,
}

impl<'a> Record<'a> {
    /// `rmgr: XLOG  len (rec/tot): 114/ 114, tx: 0, lsn: 0/03000028, prev 0/02000110, desc: CHECKPOINT_SHUTDOWN ...`
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        let after = |label: &str| line.split_once(label).map(|(_, rest)| rest.trim_start());
        let number = |text: &str| text.split([',', ' ']).next().map(str::to_owned);
        let (_, total) = after("len (rec/tot):")?.split_once('/')?;
        Some(Self {
            length: number(total.trim_start())?.parse().ok()?,
            xid: number(after("tx:")?)?.parse().ok()?,
            start: number(after("lsn:")?)?.parse().ok()?,
            description: after("desc:")?,
        })
    }

    /// Where it ends. A switch of segments takes the rest of its own.
    pub(crate) fn end(&self, layout: Layout) -> Lsn {
        let end = layout.record_end(self.start, self.length);
        let switch = self.description.starts_with("SWITCH");
        if switch { Lsn::new(end.get().next_multiple_of(layout.segment_bytes)) } else { end }
    }
}

impl ControlData {
    pub(crate) const fn layout(&self) -> Layout {
        Layout { segment_bytes: self.wal_segment_bytes, page_bytes: self.wal_page_bytes }
    }
}

impl Instance {
    /// The end of WAL of a primary that was shut down in order: the end of its shutdown checkpoint's record, exact (R11).
    ///
    /// # Errors
    /// When it was not shut down in order, or the record cannot be read.
    pub async fn end_of_wal(&self) -> Result<Position, PositionError> {
        let control = self.control_data().await?;
        if control.state != ClusterState::ShutDown {
            return Err(PositionError::NotShutDown { state: control.state });
        }
        let lineage = self.lineage_of(control.timeline).await?;
        let dump = self
            .waldump(control.timeline, control.checkpoint)
            .args(&["-n", "1"])
            .run(Duration::from_secs(SEARCH_SECONDS_MAX))
            .await
            .map_err(|error| PositionError::NoRecord(Some(error)))?;
        let record = dump.lines().find_map(Record::parse);
        let record = record.filter(|r| r.start == control.checkpoint && r.description.contains("SHUTDOWN"));
        let record = record.ok_or(PositionError::NoRecord(None))?;
        Ok(Position { lineage, flushed: record.end(control.layout()) })
    }

    /// The end of the last whole record on the disk of a stopped server; [`None`] when the log cannot be read to an end in
    /// time. After a crash this is what recovery will reach.
    ///
    /// # Errors
    /// When the control file or the lineage cannot be read.
    pub async fn position_on_disk(&self) -> Result<Option<Position>, PositionError> {
        let control = self.control_data().await?;
        let lineage = self.lineage().await?;
        let forked_at = lineage.forks().last().map_or(Lsn::INVALID, |fork| fork.at);
        let from = forked_at.max(control.redo).max(control.min_recovery_end);
        let end = self.last_record_end(&control, lineage.current(), from).await;
        // No record past a fork: the log ends where the timeline begins.
        let end = end.map(|end| end.unwrap_or(from));
        Ok(end.map(|flushed| Position { lineage, flushed }))
    }

    /// The end of the last whole record from `from` on: inner [`None`] when there is none, outer when it is unknown.
    pub(crate) async fn last_record_end(
        &self,
        control: &ControlData,
        timeline: TimelineId,
        from: Lsn,
    ) -> Option<Option<Lsn>> {
        let mut end = None;
        let dump = self.waldump(timeline, from).run_lines(Duration::from_secs(SEARCH_SECONDS_MAX), |line| {
            if let Some(record) = Record::parse(line) {
                end = Some(record.end(control.layout()));
            }
        });
        match dump.await {
            // A log always ends in something that is not a record, and pg_waldump says so with a failure.
            Ok(_) => Some(end),
            Err(ToolError::Failed { words, .. }) => {
                // At the start of a segment that was never begun there is nothing either.
                let begun = !from.get().is_multiple_of(control.wal_segment_bytes);
                let nothing = words.contains("could not find a valid record")
                    || (!begun && words.contains("could not find file"));
                (end.is_some() || nothing).then_some(end)
            }
            Err(ToolError::Deadline { .. } | ToolError::Spawn { .. }) => None,
        }
    }

    pub(crate) fn waldump(&self, timeline: TimelineId, from: Lsn) -> crate::tool::Tool {
        let (timeline, from) = (timeline.to_string(), from.to_string());
        let tool = self.tool("pg_waldump").arg("-p").arg(self.in_data("pg_wal"));
        tool.args(&["-t", &timeline, "-s", &from])
    }

    /// The history of the newest timeline that a stopped server has WAL of.
    ///
    /// # Errors
    /// When the control file or a history file cannot be read.
    pub async fn lineage(&self) -> Result<Lineage, PositionError> {
        let control = self.control_data().await?;
        let known = control.timeline.max(control.min_recovery_timeline.unwrap_or(TimelineId::FIRST));
        let wal = self.in_data("pg_wal");
        let layout = control.layout();
        // A timeline entered since the last checkpoint has left segments, if it has left anything.
        let newest = off_thread(move || newest_timeline(&wal, layout, layout.segment(control.redo))).await?;
        self.lineage_of(newest.map_or(known, |newest| newest.max(known))).await
    }

    async fn lineage_of(&self, timeline: TimelineId) -> Result<Lineage, PositionError> {
        if timeline == TimelineId::FIRST {
            return Ok(Lineage::first());
        }
        let (wal, owner) = (self.in_data("pg_wal"), self.config().run_as);
        let text = off_thread(move || Ok(Histories::read(&wal, owner)?.text_of(timeline))).await;
        let text = text.map_err(PositionError::File)?;
        let text = text.ok_or(PositionError::History { timeline, source: None })?;
        Lineage::parse_history(timeline, &text)
            .map_err(|source| PositionError::History { timeline, source: Some(source) })
    }
}

/// The newest timeline among the segments from number `first` on.
fn newest_timeline(wal: &Path, layout: Layout, first: u64) -> Result<Option<TimelineId>, FileError> {
    let entries = std::fs::read_dir(wal).map_err(FileError::on("read", wal))?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let segments = names.filter_map(|name| layout.parse_name(&name));
    let newest = segments.filter(|(_, number)| *number >= first).map(|(timeline, _)| timeline).max();
    Ok(newest.and_then(|timeline| TimelineId::try_from(timeline).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_from_its_line() {
        let line = "rmgr: Transaction len (rec/tot):     34/    46, tx:        738, lsn: 0/01537C58, prev 0/01537C20, \
                    desc: COMMIT 2026-11-23 06:00:00.123456 UTC";
        let record = Record::parse(line).unwrap();
        assert_eq!((record.length, record.xid, record.start), (46, 738, Lsn::new(0x0153_7C58)));
        assert_eq!(record.description, "COMMIT 2026-11-23 06:00:00.123456 UTC");
        assert_eq!(Record::parse("pg_waldump: first record is after 0/1"), None);
    }

    #[test]
    fn a_switch_record_ends_with_its_segment() {
        let line = "rmgr: XLOG len (rec/tot): 24/ 24, tx: 0, lsn: 0/02000120, prev 0/020000D8, desc: SWITCH ";
        let layout = Layout { segment_bytes: 16 << 20, page_bytes: 8_192 };
        assert_eq!(Record::parse(line).unwrap().end(layout), Lsn::new(0x300_0000));
    }
}
