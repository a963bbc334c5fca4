//! At the end every standby holds what the primary holds.

use super::Verdict;
use crate::place::Place;
use crate::soak::workload::Contents;

/// Compares every server's tables with the primary's.
#[must_use]
pub fn check_survivors(primary: &Contents, standbys: &[(Place, Contents)]) -> Verdict {
    let mut verdict = Verdict::new("every standby holds what the primary holds");
    for (place, contents) in standbys {
        verdict.look();
        if contents != primary {
            let counts = |it: &Contents| (it.rows.len(), it.transfers.len(), it.lists.len(), it.register);
            verdict.violated(format!(
                "`{place}` holds (rows, transfers, lists, register) {:?}, the primary {:?}",
                counts(contents),
                counts(primary)
            ));
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_that_differs_is_noticed() {
        let place = Place::named("tucson-1").unwrap();
        let primary = Contents { rows: vec![1, 2], ..Contents::default() };
        let other = Contents { rows: vec![1], ..Contents::default() };
        assert!(check_survivors(&primary, &[(place, primary.clone())]).kept());
        assert_eq!(check_survivors(&primary, &[(place, other)]).violations, 1);
    }
}
