use sb_pgtypes::{Lineage, Lsn, Position, Relation};

use super::ClusterRecord;

/// How a server's log relates to the lineage in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is a part of that line.
    InForce,
    /// It leaves that line's newest timeline for one that is not on record: of a promotion that was not completed,
    /// so no client ever wrote there, or of a primary whose end was lost with it.
    Unrecorded,
    /// It has log that the line left behind.
    Diverged,
}

impl Standing {
    /// Where `position` stands towards `lineage`.
    #[must_use]
    pub fn of(position: &Position, lineage: &Lineage) -> Standing {
        let endless = Position { lineage: lineage.clone(), flushed: Lsn::new(u64::MAX) };
        match position.relation(&endless) {
            Relation::Equal | Relation::Behind => Standing::InForce,
            Relation::Ahead | Relation::Diverged if leaves(&position.lineage, lineage) => {
                Standing::Unrecorded
            }
            Relation::Ahead | Relation::Diverged => Standing::Diverged,
        }
    }
}

fn leaves(own: &Lineage, in_force: &Lineage) -> bool {
    let known = in_force.forks();
    own.forks().starts_with(known)
        && own.forks().get(known.len()).is_some_and(|f| f.from == in_force.current())
}

impl ClusterRecord {
    /// Where `position` stands towards the lineage in force; [`None`] before there is one.
    #[must_use]
    pub fn standing(&self, position: &Position) -> Option<Standing> {
        self.lineage.as_ref().map(|l| Standing::of(position, &l.lineage))
    }
}

#[cfg(test)]
mod tests {
    use sb_pgtypes::TimelineId;

    use super::*;

    fn at(lineage: &Lineage, lsn: u64) -> Position {
        Position { lineage: lineage.clone(), flushed: Lsn::new(lsn) }
    }

    fn next(lineage: &Lineage, at: u64, id: u32) -> Lineage {
        lineage.forked(Lsn::new(at), TimelineId::try_from(id).unwrap()).unwrap()
    }

    #[test]
    fn a_tail_beyond_the_fork_is_diverged() {
        let first = Lineage::first();
        let second = next(&first, 100, 2);
        assert_eq!(Standing::of(&at(&first, 100), &second), Standing::InForce);
        assert_eq!(Standing::of(&at(&first, 101), &second), Standing::Diverged);
        assert_eq!(Standing::of(&at(&second, 500), &second), Standing::InForce);
    }

    #[test]
    fn a_promotion_that_was_not_recorded_is_told_from_a_fork() {
        let first = Lineage::first();
        let unrecorded = next(&first, 100, 2);
        assert_eq!(Standing::of(&at(&unrecorded, 120), &first), Standing::Unrecorded);
        let recorded = next(&first, 90, 2);
        assert_eq!(Standing::of(&at(&unrecorded, 120), &recorded), Standing::Diverged);
    }
}
