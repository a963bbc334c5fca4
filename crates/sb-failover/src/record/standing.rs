use sb_pgtypes::{Lineage, Lsn, Position, Relation};

use super::{ClusterRecord, Durability, LineageInForce};
use crate::Term;

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

impl LineageInForce {
    /// The line of a promotion: its own timeline has no end yet.
    #[must_use]
    pub fn promoted(term: Term, lineage: Lineage) -> Self {
        Self { term, promoted: Some(lineage.clone()), lineage, until: None }
    }

    /// A server on `lineage` takes over: the line as it is, a beginning of it, or one that leaves it.
    pub(super) fn take_over(&mut self, lineage: &Lineage) {
        if self.lineage == *lineage {
            return;
        }
        let next = leaves(&self.lineage, lineage).then(|| self.lineage.forks()[lineage.forks().len()]);
        self.until = next.map(|fork| fork.at);
        self.lineage = lineage.clone();
    }

    /// Where `position` stands towards this line and the end of its newest timeline.
    fn standing(&self, position: &Position) -> Standing {
        let standing = Standing::of(position, &self.lineage);
        let beyond = |until: Lsn| match standing {
            Standing::InForce => position.flushed > until,
            Standing::Unrecorded => position.lineage.forks()[self.lineage.forks().len()].at > until,
            Standing::Diverged => true,
        };
        if self.until.is_some_and(beyond) { Standing::Diverged } else { standing }
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
        let told = self.lineage.as_ref()?;
        let ahead = self.recorded_ahead().map(|line| Standing::of(position, line));
        Some(
            ahead
                .filter(|standing| *standing != Standing::Diverged)
                .unwrap_or_else(|| told.standing(position)),
        )
    }

    /// Asynchronously: the line of the last promotion on record, where the server that took over since stood before it. Its
    /// log counts as long as the winner has not promoted, since clients may have written it; in the synchronous modes a
    /// winner has everything that was confirmed.
    pub(super) fn recorded_ahead(&self) -> Option<&Lineage> {
        let told = self.lineage.as_ref().filter(|_| self.sync.durability == Durability::Async)?;
        told.promoted.as_ref().filter(|line| leaves(line, &told.lineage))
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

    /// A promotion on record was not carried over by the next takeover, which never promoted.
    #[test]
    fn what_a_promotion_on_record_had_left_behind_stays_so_when_the_next_winner_lacks_it() {
        let first = Lineage::first();
        let mut line = LineageInForce::promoted(Term::new(2), next(&first, 100, 2));
        line.take_over(&first);
        assert_eq!(line.standing(&at(&first, 100)), Standing::InForce);
        assert_eq!(line.standing(&at(&first, 101)), Standing::Diverged);
        assert_eq!(line.standing(&at(&next(&first, 100, 2), 178)), Standing::Unrecorded);
        assert_eq!(line.standing(&at(&next(&first, 120, 3), 121)), Standing::Diverged);
        // Nor does it come back with the takeover after that one, or with a promotion that was not recorded.
        line.take_over(&first);
        assert_eq!(line.standing(&at(&first, 101)), Standing::Diverged);
        line.take_over(&next(&first, 100, 3));
        assert_eq!(line.standing(&at(&next(&first, 100, 3), 500)), Standing::InForce);
        line.take_over(&first);
        assert_eq!(line.standing(&at(&first, 101)), Standing::Diverged);
        assert_eq!(line.standing(&at(&next(&first, 90, 4), 95)), Standing::Unrecorded);
    }
}
