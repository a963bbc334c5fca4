//! What an asynchronous cluster may lose: the bound, and what was written after the old primary's last word.

use std::time::Duration;

use super::{Reign, Told, Verdict};
use crate::soak::history::{Action, History, Operation, RowId};

/// How old a position may be when a renewal carries it: half a second between two looks of the observer, a look of up
/// to a second, half a second between two renewals.
const POSITION_AGE_MAX: Duration = Duration::from_millis(2_000);

/// Least log of one acknowledged row: a record of the insert and one of the commit, heads included.
const ROW_BYTES_MIN: u64 = 100;

/// What a winner knew when it asked for the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claim {
    /// When the old primary's last word was seen.
    seen: Duration,
    /// Bytes of that word that the winner lacks.
    missing_bytes: u64,
}

/// Every row that is lost was acknowledged after the old primary's last word was on its way, or fits into the bytes of
/// that word which the winner lacked; and those are never more than the bound.
#[must_use]
pub fn check_bound(
    history: &History,
    survivor: &[RowId],
    (reigns, told): (&[Reign], &[Told]),
    lag_bytes_max: u64,
) -> Verdict {
    let mut verdict = Verdict::new("what was lost is within the stated bound");
    let lost: Vec<_> = history.operations().iter().filter(|it| is_lost(it, survivor)).collect();
    let (mut from, mut accounted) = (Duration::ZERO, 0);
    for reign in reigns.iter().filter(|reign| reign.elected > Duration::ZERO) {
        verdict.look();
        let of_it = |it: &&&Operation| it.ended > from && it.ended <= reign.elected;
        let gone: Vec<_> = lost.iter().filter(of_it).copied().collect();
        accounted += gone.len();
        match read_claim(told, reign) {
            Some(claim) => check_claim(claim, reign, &gone, lag_bytes_max, &mut verdict),
            None if gone.is_empty() => {}
            None => verdict.violated(format!(
                "{} rows were lost with term {}, whose holder says nothing of its claim",
                gone.len(),
                reign.term
            )),
        }
        from = from.max(reign.elected);
    }
    if accounted < lost.len() {
        verdict.violated(format!("{} rows were lost without a change of primary", lost.len() - accounted));
    }
    verdict
}

fn check_claim(claim: Claim, reign: &Reign, gone: &[&Operation], lag_bytes_max: u64, verdict: &mut Verdict) {
    let (term, missing) = (reign.term, claim.missing_bytes);
    if missing > lag_bytes_max {
        verdict.violated(format!(
            "the winner of term {term} lacked {missing} bytes, {lag_bytes_max} are allowed"
        ));
    }
    let before = |it: &&&Operation| it.ended + POSITION_AGE_MAX < claim.seen;
    let early = u64::try_from(gone.iter().filter(before).count()).unwrap_or(u64::MAX);
    if early * ROW_BYTES_MIN > missing {
        verdict.violated(format!(
            "{early} rows, acknowledged more than {POSITION_AGE_MAX:?} before the old primary's last word, were lost \
             with term {term}; the winner lacked {missing} bytes of that word"
        ));
    }
}

fn is_lost(operation: &Operation, survivor: &[RowId]) -> bool {
    match operation.action {
        // In order, as it was read.
        Action::Insert { id } => operation.is_ok() && survivor.binary_search(&id).is_err(),
        _ => false,
    }
}

/// The last claim of a term's holder before it saw that the lease is its own.
fn read_claim(told: &[Told], reign: &Reign) -> Option<Claim> {
    let mine =
        |it: &&Told| it.is("failover.claiming") && (it.term, it.server) == (Some(reign.term), reign.server);
    let entry = told.iter().filter(mine).filter(|it| it.at <= reign.elected).max_by_key(|it| it.at)?;
    let seen = entry.at.saturating_sub(Duration::from_millis(entry.number_before("ms ago")?));
    let nothing = entry.detail.as_deref().is_some_and(|detail| detail.contains("all of that is here"));
    let missing = entry.number_before("bytes of that are missing");
    Some(Claim { seen, missing_bytes: if nothing { 0 } else { missing? } })
}

#[cfg(test)]
mod tests {
    use super::super::made::history;
    use super::*;
    use crate::place::Place;
    use crate::soak::history::Outcome;

    const BOUND: u64 = 1_000;

    /// A row each second, acknowledged 5 ms after.
    fn rows() -> History {
        let action = |n: i64| {
            if n % 100 == 0 { Action::Insert { id: n / 100 } } else { Action::Register { seen: None } }
        };
        history((0..801).map(|n| (action(n), Outcome::Ok)).collect())
    }

    /// The winner of term 2 was elected at 8 s; it saw the old primary's last word at 5 s.
    fn verdict(survivor: &[RowId], missing: &str) -> Verdict {
        let server = Place::named("ravena-2").unwrap();
        let reigns = [
            Reign {
                term: 1,
                server: Place::named("ravena-1").unwrap(),
                elected: Duration::ZERO,
                opened: None,
            },
            Reign { term: 2, server, elected: Duration::from_millis(8_000), opened: None },
        ];
        let detail = format!("It stands at 0/5. The primary's last word, 2990 ms ago, was 0/6: {missing}.");
        let told = Told {
            at: Duration::from_millis(7_990),
            server,
            kind: "failover.claiming".into(),
            term: Some(2),
            message: String::new(),
            detail: Some(detail),
        };
        check_bound(&rows(), survivor, (&reigns, &[told]), BOUND)
    }

    const NOTHING: &str = "all of that is here";

    #[test]
    fn what_was_written_after_the_last_word_may_be_lost() {
        assert!(verdict(&[0, 1, 2, 3, 8], NOTHING).kept());
        assert!(verdict(&[0, 1, 2, 3, 4, 5, 6, 7, 8], NOTHING).kept());
    }

    #[test]
    fn what_was_written_before_it_may_not_unless_the_winner_lacked_so_much() {
        assert_eq!(verdict(&[0, 1, 3, 8], NOTHING).violations, 1);
        assert_eq!(verdict(&[0, 1, 3, 8], "99 bytes of that are missing here").violations, 1);
        assert!(verdict(&[0, 1, 3, 8], "100 bytes of that are missing here").kept());
        assert_eq!(verdict(&[0, 3, 8], "199 bytes of that are missing here").violations, 1);
    }

    #[test]
    fn a_winner_that_lacked_more_than_the_bound_is_noticed() {
        assert!(verdict(&[0, 1, 2, 3, 4, 5, 6, 7, 8], "1000 bytes of that are missing here").kept());
        assert_eq!(
            verdict(&[0, 1, 2, 3, 4, 5, 6, 7, 8], "1001 bytes of that are missing here").violations,
            1
        );
    }

    #[test]
    fn a_loss_that_no_claim_accounts_for_is_noticed() {
        assert_eq!(verdict(&[0, 1, 2, 3, 8], "how much of that is here cannot be said").violations, 1);
        assert!(verdict(&[0, 1, 2, 3, 4, 5, 6, 7, 8], "how much of that is here cannot be said").kept());
    }

    #[test]
    fn a_loss_without_a_change_of_primary_is_noticed() {
        assert_eq!(verdict(&[0, 1, 2, 3, 4, 5, 6, 7], NOTHING).violations, 1);
    }
}
