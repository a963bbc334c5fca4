use sb_pgtypes::{Lineage, TimelineId};
use serde::{Deserialize, Serialize};

use super::{ClusterRecord, Rejection};
use crate::{Session, Term};

/// How far the numbers of timelines jump when a store is recovered: that many takeovers of the lost store the survivor may
/// have missed without a number being used twice. Every promotion after it has to pass over as many.
pub const RECOVERY_TIMELINES: u32 = 32;

/// Which number a holder's next promotion takes. PostgreSQL takes the next one that it has not seen itself, so two servers
/// that are promoted from the same place would have the same number, and nothing could tell their logs apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineNumbers {
    /// The newest number that was reserved for a promotion or that anybody has told of; 0 before the first.
    pub newest: u32,
    /// For whom `newest` is reserved, as long as it is the newest.
    pub reserved: Option<Reservation>,
}

/// Who may be promoted to the number: one run of one holder's agent, and only once. What an earlier run has done with
/// the number that it had is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The holder's term.
    pub term: Term,
    /// The run of its agent.
    pub session: Session,
    /// The number.
    pub timeline: TimelineId,
}

impl ClusterRecord {
    /// The number reserved for this run of the holder of `term`.
    #[must_use]
    pub fn reserved_timeline(&self, term: Term, session: Session) -> Option<TimelineId> {
        let reserved = self.timelines.reserved.filter(|r| r.term == term && r.session == session);
        reserved.map(|r| r.timeline)
    }

    /// The numbers after one more was reserved, which nobody has used or been given. It is larger than those of `line` too.
    pub(super) fn with_reserved(
        &self,
        term: Term,
        session: Session,
        line: Option<&Lineage>,
    ) -> Result<TimelineNumbers, Rejection> {
        let own = line.map_or(0, |line| line.current().get());
        let number = self.newest_timeline().max(own).checked_add(1).ok_or(Rejection::OutOfBounds)?;
        let timeline = TimelineId::try_from(number).map_err(|_| Rejection::OutOfBounds)?;
        Ok(TimelineNumbers { newest: number, reserved: Some(Reservation { term, session, timeline }) })
    }

    /// The newest number that this record knows, also where it was written before numbers were counted.
    fn newest_timeline(&self) -> u32 {
        let in_force = self.lineage.as_ref().map(|l| &l.lineage);
        let told = self.position.as_ref().map(|p| &p.lineage);
        let known = [in_force, told].into_iter().flatten().map(|lineage| lineage.current().get());
        known.fold(self.timelines.newest, u32::max)
    }

    /// Servers of the lost store may have been given numbers that the survivor has not heard of.
    pub(super) fn pass_over_timelines(&mut self) {
        let newest = self.newest_timeline().saturating_add(RECOVERY_TIMELINES);
        self.timelines = TimelineNumbers { newest, reserved: None };
    }
}

impl TimelineNumbers {
    /// Somebody has told of this line.
    pub(super) fn learn(&mut self, lineage: &Lineage) {
        self.newest = self.newest.max(lineage.current().get());
    }
}
