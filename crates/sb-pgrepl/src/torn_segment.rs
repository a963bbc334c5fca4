//! The first segment of a timeline, received in part.
//!
//! A standby receives a new timeline from the beginning of the segment that holds the fork, so that segment repeats
//! the log of the timeline before up to there. Killed before it has received as much, the standby cannot start any more:
//! PostgreSQL reads the newest timeline's segment first, finds its end before the fork, and may not go back to the
//! timeline before (`XLogFileReadAnyTLI` and `WaitForWALToBecomeAvailable` in its `xlogrecovery.c`).

use std::path::PathBuf;

use sb_pgtypes::{Lsn, TimelineId};

use crate::files::{off_thread, rename_durably};
use crate::{ControlData, Instance, PositionError};

/// PostgreSQL's own name for a segment that does not count; it removes one together with the segments of its age.
const ASIDE: &str = "partial";

impl Instance {
    /// Sets the first segment of a stopped standby's newest timeline aside when it was received in part and repeats nothing but
    /// what the timeline before has here as well: the standby then goes on from that, and receives the segment again.
    /// Nothing is lost by it, neither log nor what this server has confirmed. Returns the new name; [`None`] when there is no
    /// such segment, or when it has more than the timeline before.
    ///
    /// # Errors
    /// When the log cannot be judged or the segment not renamed; then nothing was changed.
    pub async fn set_torn_segment_aside(&self) -> Result<Option<PathBuf>, PositionError> {
        let control = self.control_data().await?;
        let lineage = self.lineage().await?;
        let Some(fork) = lineage.forks().last().copied() else { return Ok(None) };
        let Some(torn) = self.end_of_segment(&control, lineage.current(), fork.at).await else {
            return Ok(None);
        };
        let before = self.end_of_segment(&control, fork.from, fork.at).await;
        if torn >= fork.at || before.is_none_or(|before| before < torn) {
            return Ok(None);
        }
        let name = control.layout().segment_name(lineage.current().get(), fork.at);
        let path = self.in_data("pg_wal").join(name);
        let aside = path.with_extension(ASIDE);
        let to = aside.clone();
        off_thread(move || rename_durably(&path, &to)).await?;
        Ok(Some(aside))
    }

    /// The end of the last whole record in the segment of `timeline` that holds `at`; its beginning when it has none, [`None`]
    /// when it is not there or cannot be read.
    async fn end_of_segment(&self, control: &ControlData, timeline: TimelineId, at: Lsn) -> Option<Lsn> {
        let layout = control.layout();
        let path = self.in_data("pg_wal").join(layout.segment_name(timeline.get(), at));
        if !path.exists() {
            return None;
        }
        let from = layout.segment_start(at);
        self.last_record_end(control, timeline, from).await.map(|end| end.unwrap_or(from))
    }
}
