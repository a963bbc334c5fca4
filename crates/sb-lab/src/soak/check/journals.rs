//! What the servers' journals say of terms, and whether only the holder of the newest acknowledged writes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Verdict;
use crate::place::Place;
use crate::soak::history::History;

/// Moments of a journal are rounded down to this.
const JOURNAL_TICK: Duration = Duration::from_millis(1);

/// One entry of a journal, on the run's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// When.
    pub at: Duration,
    /// Whose journal.
    pub server: Place,
    /// Its stable dotted word.
    pub kind: String,
    /// The term it names.
    pub term: Option<u64>,
    /// What happened, in one sentence.
    pub message: String,
    /// Its numbers and positions.
    pub detail: Option<String>,
}

/// One server's primaryship.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reign {
    /// Its number.
    pub term: u64,
    /// Who.
    pub server: Place,
    /// When it saw that the lease is its own: from here on nobody else's counts.
    pub elected: Duration,
    /// When its PostgreSQL was first known to be primary. Clients are let in after that; the journal notes
    /// `clients.open` when the change of `pg_hba.conf` is confirmed, and a quick client commits before.
    pub promoted: Option<Duration>,
}

/// The primaryships that the journals tell of, in the order of their terms.
#[must_use]
pub fn read_reigns(told: &[Told]) -> Vec<Reign> {
    let mut reigns: BTreeMap<(u64, Place), Reign> = BTreeMap::new();
    for entry in told {
        let Some(term) = entry.term else { continue };
        let (server, at) = (entry.server, entry.at);
        // The founder is elected by nobody; its first word of the term counts.
        let reign = match entry.kind.as_str() {
            "failover.elected" | "clients.open" | "postgres.promoted" => {
                reigns.entry((term, server)).or_insert(Reign { term, server, elected: at, promoted: None })
            }
            _ => continue,
        };
        reign.elected = reign.elected.min(at);
        // The founder was never promoted.
        if entry.kind != "failover.elected" {
            reign.promoted = Some(reign.promoted.map_or(at, |promoted| promoted.min(at)));
        }
    }
    reigns.into_values().collect()
}

/// The timelines that the journals tell of: each was made by a promotion, "On timeline N.".
#[must_use]
pub fn read_promotions(told: &[Told]) -> BTreeSet<u32> {
    let promoted = told.iter().filter(|entry| entry.kind == "postgres.promoted");
    let timeline = |entry: &Told| {
        let detail = entry.detail.as_deref()?.strip_prefix("On timeline ")?;
        detail.trim_end_matches('.').parse().ok()
    };
    promoted.filter_map(timeline).collect()
}

/// A term has one holder, and a later one begins later.
#[must_use]
pub fn check_terms(reigns: &[Reign]) -> Verdict {
    let mut verdict = Verdict::new("terms rise, and each has one holder");
    reigns.iter().for_each(|_| verdict.look());
    for pair in reigns.windows(2) {
        let [before, after] = pair else { continue };
        if before.term == after.term {
            verdict.violated(format!("term {} has `{}` and `{}`", after.term, before.server, after.server));
        } else if after.elected < before.elected {
            verdict.violated(format!("term {} began before term {}", after.term, before.term));
        }
    }
    verdict
}

/// No write was acknowledged by a server after another held a newer term, nor before it was promoted in its term.
#[must_use]
pub fn check_holders(history: &History, reigns: &[Reign]) -> Verdict {
    let mut verdict = Verdict::new("only the holder of the newest lease acknowledged writes");
    for operation in history.operations() {
        let Some(at) = operation.acknowledged() else { continue };
        verdict.look();
        let newest = reigns.iter().rev().find(|reign| reign.elected <= at);
        match newest {
            None => verdict.violated(format!("`{}` acknowledged at {at:?}, in no term", operation.server)),
            Some(reign) if reign.server != operation.server => verdict.violated(format!(
                "`{}` acknowledged {:?} after `{}` held term {}",
                operation.server,
                at - reign.elected,
                reign.server,
                reign.term
            )),
            Some(reign) if reign.promoted.is_none_or(|promoted| promoted > at + JOURNAL_TICK) => {
                verdict.violated(format!(
                    "`{}` acknowledged at {at:?}, before its promotion in term {}",
                    operation.server, reign.term
                ));
            }
            Some(_) => {}
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::super::made::history;
    use super::*;
    use crate::soak::history::{Action, Outcome};

    fn told(at_ms: u64, server: &str, kind: &str, term: u64) -> Told {
        let server = Place::named(server).unwrap();
        Told {
            at: Duration::from_millis(at_ms),
            server,
            kind: kind.into(),
            term: Some(term),
            message: String::new(),
            detail: None,
        }
    }

    /// `ravena-1` acknowledges at 5, 15 and 25 ms.
    fn acknowledged() -> History {
        history((1..4).map(|id| (Action::Insert { id }, Outcome::Ok)).collect())
    }

    #[test]
    fn a_holder_that_was_promoted_may_acknowledge() {
        let reigns = read_reigns(&[
            told(0, "ravena-1", "clients.open", 1),
            told(30, "ravena-2", "failover.elected", 2),
        ]);
        assert!(check_terms(&reigns).kept());
        assert_eq!(check_holders(&acknowledged(), &reigns).violations, 0);
    }

    #[test]
    fn an_acknowledgement_after_another_was_elected_is_noticed() {
        let reigns = read_reigns(&[
            told(0, "ravena-1", "clients.open", 1),
            told(20, "ravena-2", "failover.elected", 2),
        ]);
        assert_eq!(check_holders(&acknowledged(), &reigns).violations, 1);
    }

    #[test]
    fn an_acknowledgement_before_the_promotion_is_noticed() {
        let reigns = read_reigns(&[
            told(0, "ravena-1", "failover.elected", 1),
            told(10, "ravena-1", "postgres.promoted", 1),
        ]);
        assert_eq!(check_holders(&acknowledged(), &reigns).violations, 1);
    }

    #[test]
    fn two_holders_of_a_term_and_a_term_that_goes_back_are_noticed() {
        let two = [told(0, "ravena-1", "clients.open", 1), told(9, "ravena-2", "clients.open", 1)];
        assert_eq!(check_terms(&read_reigns(&two)).violations, 1);
        let back = [told(9, "ravena-1", "clients.open", 1), told(0, "ravena-2", "clients.open", 2)];
        assert_eq!(check_terms(&read_reigns(&back)).violations, 1);
    }
}
