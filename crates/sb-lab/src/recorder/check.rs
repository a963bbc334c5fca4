//! The book against the survivor. Pure.

use std::collections::BTreeMap;

use super::ledger::{Ledger, WriteId};

/// What a comparison has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Acknowledged writes.
    pub acknowledged: usize,
    /// Acknowledged writes that the survivor does not have: broken promises.
    pub lost: Vec<WriteId>,
    /// Writes without an answer.
    pub unknown: usize,
    /// Of these, how many the survivor has: allowed.
    pub unknown_present: usize,
    /// Rows that are there more than once.
    pub duplicates: Vec<WriteId>,
    /// Rows that nobody wrote.
    pub strangers: Vec<WriteId>,
}

impl Findings {
    /// Whether every promise was kept and nothing was invented.
    #[must_use]
    pub fn clean(&self) -> bool {
        self.lost.is_empty() && self.invented_nothing()
    }

    /// Whether every row was written once and by us.
    #[must_use]
    pub fn invented_nothing(&self) -> bool {
        self.duplicates.is_empty() && self.strangers.is_empty()
    }
}

/// Compares the book with the rows of a survivor.
#[must_use]
pub fn check(ledger: &Ledger, survivor: impl IntoIterator<Item = WriteId>) -> Findings {
    let mut copies: BTreeMap<WriteId, usize> = BTreeMap::new();
    for id in survivor {
        *copies.entry(id).or_default() += 1;
    }
    let fate_is = |fate: Option<bool>| {
        let copies = &copies;
        move |id: &&WriteId| ledger.was_acknowledged(**id) == fate && copies.contains_key(*id)
    };
    Findings {
        acknowledged: ledger.acknowledged(),
        lost: ledger.acknowledged_ids().filter(|id| !copies.contains_key(id)).collect(),
        unknown: ledger.sent() - ledger.acknowledged(),
        unknown_present: copies.keys().filter(fate_is(Some(false))).count(),
        duplicates: copies.iter().filter(|(_, copies)| **copies > 1).map(|(id, _)| *id).collect(),
        strangers: copies.keys().filter(fate_is(None)).copied().collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::place::Place;

    /// Three acknowledged writes, then one without an answer.
    fn ledger() -> (Ledger, [WriteId; 4]) {
        let mut ledger = Ledger::new();
        let ids = [(); 4].map(|()| ledger.send().unwrap());
        for id in &ids[..3] {
            ledger.acknowledge(*id, Instant::now(), Place::OFFICE);
        }
        (ledger, ids)
    }

    #[test]
    fn a_survivor_with_everything_is_clean_with_or_without_the_unknown_write() {
        let (ledger, ids) = ledger();
        let with = check(&ledger, ids);
        assert!(with.clean());
        assert_eq!((with.acknowledged, with.unknown, with.unknown_present), (3, 1, 1));
        let without = check(&ledger, ids[..3].iter().copied());
        assert!(without.clean());
        assert_eq!((without.unknown, without.unknown_present), (1, 0));
    }

    #[test]
    fn a_lost_write_is_noticed_and_named() {
        let (ledger, ids) = ledger();
        let findings = check(&ledger, [ids[0], ids[2], ids[3]]);
        assert_eq!(findings.lost, [ids[1]]);
        assert!(!findings.clean());
    }

    #[test]
    fn an_empty_survivor_has_lost_everything() {
        let (ledger, ids) = ledger();
        assert_eq!(check(&ledger, []).lost, ids[..3]);
    }

    #[test]
    fn a_row_that_is_there_twice_is_noticed() {
        let (ledger, ids) = ledger();
        let findings = check(&ledger, [ids[0], ids[1], ids[1], ids[2]]);
        assert_eq!(findings.duplicates, [ids[1]]);
        assert!(!findings.clean());
    }

    #[test]
    fn a_row_that_nobody_wrote_is_noticed() {
        let (ledger, ids) = ledger();
        let findings = check(&ledger, [ids[0], ids[1], ids[2], WriteId(77)]);
        assert_eq!(findings.strangers, [WriteId(77)]);
        assert!(!findings.clean());
    }
}
