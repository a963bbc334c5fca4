use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::{Fork, Lineage, Lsn, TimelineId};

/// How far a server's durable log reaches, and on which lineage.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The lineage the log is on.
    pub lineage: Lineage,
    /// The end of what is flushed to disk.
    pub flushed: Lsn,
}

/// How one server's log relates to another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Both hold the same log to the same position.
    Equal,
    /// Holds everything the other has, and more.
    Ahead,
    /// The other holds everything this has, and more.
    Behind,
    /// Each has something the other lacks.
    Diverged,
}

impl Position {
    /// How this log relates to `other`: by lineage first, by LSN only on a shared line (rule R5).
    ///
    /// A log is taken as the sequence of its bytes and of the changes of timeline between them, and one is
    /// behind another when it is the beginning of the other. So of two logs that end where a timeline was
    /// left, the one that has changed timeline is ahead, and two that changed to different timelines there
    /// have diverged, although their bytes are the same. Forks beyond `flushed` are not reached yet and do not
    /// count.
    #[must_use]
    pub fn relation(&self, other: &Position) -> Relation {
        let ((own_forks, own_timeline), (forks, timeline)) = (self.reached(), other.reached());
        let shared = own_forks.iter().zip(forks).take_while(|(a, b)| a == b).count();
        match (own_forks.get(shared), forks.get(shared)) {
            (None, None) if own_timeline == timeline => match self.flushed.cmp(&other.flushed) {
                Ordering::Equal => Relation::Equal,
                Ordering::Greater => Relation::Ahead,
                Ordering::Less => Relation::Behind,
            },
            (None, Some(next)) if next.from == own_timeline && self.flushed <= next.at => Relation::Behind,
            (Some(next), None) if next.from == timeline && other.flushed <= next.at => Relation::Ahead,
            (None | Some(_), None | Some(_)) => Relation::Diverged,
        }
    }

    /// The forks that the log has come to, and the timeline at its end.
    fn reached(&self) -> (&[Fork], TimelineId) {
        let forks = self.lineage.forks();
        let count = forks.partition_point(|fork| fork.at <= self.flushed);
        (&forks[..count], forks.get(count).map_or(self.lineage.current(), |fork| fork.from))
    }

    /// Whether everything in `other` is also here.
    #[must_use]
    pub fn contains(&self, other: &Position) -> bool {
        matches!(self.relation(other), Relation::Equal | Relation::Ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lineage: &Lineage, lsn: u64) -> Position {
        Position { lineage: lineage.clone(), flushed: Lsn::new(lsn) }
    }

    fn next(lineage: &Lineage, at: u64, id: u32) -> Lineage {
        lineage.forked(Lsn::new(at), TimelineId::try_from(id).unwrap()).unwrap()
    }

    #[test]
    fn more_wal_on_a_left_timeline_is_not_ahead() {
        let old = Lineage::first();
        let new = next(&old, 100, 2);
        assert_eq!(at(&old, 150).relation(&at(&new, 120)), Relation::Diverged);
        assert_eq!(at(&old, 100).relation(&at(&new, 120)), Relation::Behind);
        assert_eq!(at(&new, 120).relation(&at(&old, 90)), Relation::Ahead);
    }

    #[test]
    fn the_same_timeline_number_chosen_twice_is_diverged() {
        let a = next(&Lineage::first(), 100, 2);
        let b = next(&Lineage::first(), 140, 2);
        assert_eq!(at(&a, 200).relation(&at(&b, 200)), Relation::Diverged);
    }

    #[test]
    fn siblings_at_the_fork_are_diverged() {
        let (a, b) = (next(&Lineage::first(), 100, 2), next(&Lineage::first(), 100, 3));
        assert_eq!(at(&a, 100).relation(&at(&b, 100)), Relation::Diverged);
        assert_eq!(at(&a, 99).relation(&at(&b, 99)), Relation::Equal);
        assert_eq!(at(&Lineage::first(), 100).relation(&at(&b, 100)), Relation::Behind);
    }

    #[test]
    fn a_fork_that_is_not_reached_does_not_count() {
        let old = Lineage::first();
        let new = next(&old, 100, 2);
        assert_eq!(at(&new, 90).relation(&at(&old, 90)), Relation::Equal);
        assert_eq!(at(&new, 90).relation(&at(&old, 110)), Relation::Behind);
    }
}
