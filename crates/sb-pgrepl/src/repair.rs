//! What brings a server back in line with a source: decided here, purely; carried out by the operations.

use sb_pgtypes::{Lsn, Position, Relation, SystemIdentifier};

use crate::{LocalData, Unfinished};

/// What is known of the server to come back in line with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFacts {
    /// Its cluster.
    pub system_identifier: SystemIdentifier,
    /// Its position. It may be some moments old.
    pub position: Position,
}

/// The next rung of the repair ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepairStep {
    /// Start as a standby of the source; if streaming turns out impossible (WAL removed), re-clone.
    Stream,
    /// Rewind first; if that fails, re-clone.
    Rewind {
        /// Up to where the two share their WAL.
        fork: Lsn,
    },
    /// Copy the source anew.
    Reclone(RecloneReason),
    /// Nothing of this may be done by itself.
    Refuse(RefuseReason),
}

/// Why only a new copy helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecloneReason {
    /// There is no data directory.
    NoData,
    /// A clone or a rewind was cut short.
    Unfinished(Unfinished),
    /// The two share no WAL, or the data directory has neither checksums nor `wal_log_hints`, without which
    /// `pg_rewind` cannot tell which pages changed.
    CannotRewind,
    /// PostgreSQL does not start with it, though it seems in line.
    CannotStart,
}

/// Why a person must decide.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefuseReason {
    /// The data directory belongs to another cluster: it may be somebody's only copy.
    #[error("the data directory belongs to another cluster (system identifier {found}, not {expected})")]
    ForeignCluster {
        /// The source's cluster.
        expected: SystemIdentifier,
        /// The data directory's cluster.
        found: SystemIdentifier,
    },
    /// The data directory is on a newer timeline that descends from the source's: the source is the one to repair.
    #[error("the data directory continues the source's history: the source is the older one")]
    SourceIsOlder,
}

/// The next step that brings `local` in line with `source`.
#[must_use]
pub fn repair_plan(local: &LocalData, source: &SourceFacts) -> RepairStep {
    let (system_identifier, lineage, end, rewindable) = match local {
        LocalData::Absent => return RepairStep::Reclone(RecloneReason::NoData),
        LocalData::Unfinished(what) => return RepairStep::Reclone(RecloneReason::Unfinished(what.clone())),
        LocalData::Present { system_identifier, lineage, end, rewindable } => {
            (*system_identifier, lineage, *end, *rewindable)
        }
    };
    if system_identifier != source.system_identifier {
        let (expected, found) = (source.system_identifier, system_identifier);
        return RepairStep::Refuse(RefuseReason::ForeignCluster { expected, found });
    }
    let Some(fork) = lineage.shared_until(&source.position.lineage) else {
        // The same lineage: whoever is ahead, the source's number may be some moments old.
        return RepairStep::Stream;
    };
    // Without a known end the log may reach past the fork: pg_rewind finds out, and does nothing when it does not.
    let assumed_end = end.unwrap_or(Lsn::new(u64::MAX));
    let position = Position { lineage: lineage.clone(), flushed: assumed_end };
    match position.relation(&source.position) {
        Relation::Equal | Relation::Behind => RepairStep::Stream,
        Relation::Ahead => RepairStep::Refuse(RefuseReason::SourceIsOlder),
        Relation::Diverged if rewindable && fork > Lsn::INVALID => RepairStep::Rewind { fork },
        Relation::Diverged => RepairStep::Reclone(RecloneReason::CannotRewind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sb_pgtypes::{Lineage, TimelineId};

    fn forked(at: u64, to: u32) -> Lineage {
        Lineage::first().forked(Lsn::new(at), TimelineId::try_from(to).unwrap()).unwrap()
    }

    fn local(lineage: Lineage, end: Option<u64>) -> LocalData {
        let system_identifier = SystemIdentifier::new(7);
        LocalData::Present { system_identifier, lineage, end: end.map(Lsn::new), rewindable: true }
    }

    fn source(lineage: Lineage, flushed: u64) -> SourceFacts {
        let position = Position { lineage, flushed: Lsn::new(flushed) };
        SourceFacts { system_identifier: SystemIdentifier::new(7), position }
    }

    #[test]
    fn a_server_without_data_is_cloned() {
        let step = repair_plan(&LocalData::Absent, &source(Lineage::first(), 100));
        assert_eq!(step, RepairStep::Reclone(RecloneReason::NoData));
    }

    #[test]
    fn an_unfinished_rewind_is_cloned_anew() {
        let what = Unfinished::Rewind { source: "ravena-2".into() };
        let step = repair_plan(&LocalData::Unfinished(what.clone()), &source(Lineage::first(), 100));
        assert_eq!(step, RepairStep::Reclone(RecloneReason::Unfinished(what)));
    }

    #[test]
    fn another_clusters_directory_is_refused() {
        let other =
            SourceFacts { system_identifier: SystemIdentifier::new(8), ..source(Lineage::first(), 1) };
        let step = repair_plan(&local(Lineage::first(), Some(100)), &other);
        assert!(matches!(step, RepairStep::Refuse(RefuseReason::ForeignCluster { .. })), "{step:?}");
    }

    #[test]
    fn a_log_that_ends_before_the_fork_streams() {
        let step = repair_plan(&local(Lineage::first(), Some(100)), &source(forked(100, 2), 150));
        assert_eq!(step, RepairStep::Stream);
    }

    #[test]
    fn a_log_past_the_fork_is_rewound_to_it() {
        let step = repair_plan(&local(Lineage::first(), Some(101)), &source(forked(100, 2), 150));
        assert_eq!(step, RepairStep::Rewind { fork: Lsn::new(100) });
    }

    #[test]
    fn an_unknown_end_is_taken_as_past_the_fork() {
        let step = repair_plan(&local(Lineage::first(), None), &source(forked(100, 2), 150));
        assert_eq!(step, RepairStep::Rewind { fork: Lsn::new(100) });
        assert_eq!(
            repair_plan(&local(forked(100, 2), None), &source(forked(100, 2), 150)),
            RepairStep::Stream
        );
    }

    #[test]
    fn the_same_timeline_number_chosen_twice_is_rewound() {
        let step = repair_plan(&local(forked(90, 2), Some(200)), &source(forked(100, 2), 150));
        assert_eq!(step, RepairStep::Rewind { fork: Lsn::new(90) });
    }

    #[test]
    fn a_source_on_an_older_timeline_is_not_followed() {
        let step = repair_plan(&local(forked(100, 2), Some(150)), &source(Lineage::first(), 90));
        assert_eq!(step, RepairStep::Refuse(RefuseReason::SourceIsOlder));
    }
}
