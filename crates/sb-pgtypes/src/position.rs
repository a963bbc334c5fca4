use serde::{Deserialize, Serialize};

use crate::{Lineage, Lsn};

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
    #[must_use]
    pub fn relation(&self, other: &Position) -> Relation {
        let Some(shared) = self.lineage.shared_until(&other.lineage) else {
            return match self.flushed.cmp(&other.flushed) {
                std::cmp::Ordering::Equal => Relation::Equal,
                std::cmp::Ordering::Greater => Relation::Ahead,
                std::cmp::Ordering::Less => Relation::Behind,
            };
        };
        // The one whose own log ends at or before the branching point is contained in the other.
        let longer = |p: &Position, q: &Position| p.lineage.forks().len() > q.lineage.forks().len();
        if self.flushed <= shared && !longer(self, other) {
            Relation::Behind
        } else if other.flushed <= shared && !longer(other, self) {
            Relation::Ahead
        } else {
            Relation::Diverged
        }
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
    use crate::TimelineId;

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
}
