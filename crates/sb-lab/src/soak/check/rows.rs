//! The set test: rows that were inserted once.

use std::collections::BTreeMap;

use super::Verdict;
use crate::soak::history::{Action, History, Operation, RowId};

/// What became of the inserts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Losses {
    /// Acknowledged inserts.
    pub acknowledged: usize,
    /// Of these, how many the survivor lacks.
    pub lost: usize,
    /// Inserts whose fate nobody knew.
    pub unknown: usize,
    /// Of these, how many are there.
    pub unknown_present: usize,
}

/// Every acknowledged row is there once, and no row that was refused or never sent. What is lost is counted apart: an
/// asynchronous cluster may lose some.
#[must_use]
pub fn check_rows(history: &History, survivor: &[RowId]) -> (Verdict, Verdict, Losses) {
    let mut lost = Verdict::new("no acknowledged row is lost");
    let mut strange = Verdict::new("no row is doubled, refused and there, or unknown to the clients");
    let mut losses = Losses::default();
    let mut copies: BTreeMap<RowId, usize> = BTreeMap::new();
    for id in survivor {
        *copies.entry(*id).or_default() += 1;
    }
    let mut sent: BTreeMap<RowId, &Operation> = BTreeMap::new();
    for operation in history.operations() {
        let Action::Insert { id } = operation.action else { continue };
        sent.insert(id, operation);
        let there = copies.contains_key(&id);
        if operation.is_ok() {
            lost.look();
            losses.acknowledged += 1;
            if !there {
                losses.lost += 1;
                lost.violated(format!(
                    "row {id}, acknowledged by `{}` at {:?}",
                    operation.server, operation.ended
                ));
            }
        } else if operation.is_failed() {
            if there {
                strange.violated(format!("row {id} was refused and is there"));
            }
        } else {
            losses.unknown += 1;
            losses.unknown_present += usize::from(there);
        }
    }
    for (id, copies) in &copies {
        strange.look();
        if *copies > 1 {
            strange.violated(format!("row {id} is there {copies} times"));
        }
        if !sent.contains_key(id) {
            strange.violated(format!("row {id} was never sent"));
        }
    }
    (lost, strange, losses)
}

#[cfg(test)]
mod tests {
    use super::super::made::{failed, history, unknown};
    use super::*;
    use crate::soak::history::Outcome;

    /// 1 and 2 acknowledged, 3 refused, 4 unknown.
    fn example() -> History {
        let insert = |id, outcome| (Action::Insert { id }, outcome);
        history(vec![
            insert(1, Outcome::Ok),
            insert(2, Outcome::Ok),
            insert(3, failed()),
            insert(4, unknown()),
        ])
    }

    #[test]
    fn an_unknown_row_may_be_there_or_not() {
        for survivor in [&[1, 2][..], &[1, 2, 4]] {
            let (lost, strange, losses) = check_rows(&example(), survivor);
            assert!(lost.kept() && strange.kept());
            assert_eq!((losses.acknowledged, losses.lost, losses.unknown), (2, 0, 1));
            assert_eq!(losses.unknown_present, survivor.len() - 2);
        }
    }

    #[test]
    fn a_lost_row_is_noticed() {
        let (lost, strange, losses) = check_rows(&example(), &[1]);
        assert_eq!((lost.violations, losses.lost), (1, 1));
        assert!(lost.named[0].starts_with("row 2"), "{:?}", lost.named);
        assert!(strange.kept());
    }

    #[test]
    fn doubled_refused_and_unsent_rows_are_noticed() {
        assert_eq!(check_rows(&example(), &[1, 2, 2]).1.violations, 1);
        assert_eq!(check_rows(&example(), &[1, 2, 3]).1.violations, 1);
        assert_eq!(check_rows(&example(), &[1, 2, 9]).1.violations, 1);
    }
}
