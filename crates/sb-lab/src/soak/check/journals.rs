//! What the servers' journals say of terms, and whether only the holder of the newest acknowledged writes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Thaw, Verdict};
use crate::place::Place;
use crate::soak::history::History;

/// Moments of a journal are rounded down to this.
const JOURNAL_TICK: Duration = Duration::from_millis(1);

/// Entries from which on a client may get in: before the change is made, and when it is confirmed.
pub(super) const OPENING: [&str; 2] = ["clients.opening", "clients.open"];

/// One entry of a journal, on the run's clock.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
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

impl Told {
    /// The whole number that stands right before these words of the detail.
    pub(super) fn number_before(&self, words: &str) -> Option<u64> {
        let (before, _) = self.detail.as_deref()?.split_once(words)?;
        before.trim_end().rsplit(' ').next()?.parse().ok()
    }

    pub(super) fn is(&self, kind: &str) -> bool {
        self.kind == kind
    }
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
    /// When it began to let clients in.
    pub opened: Option<Duration>,
}

/// The primaryships that the journals tell of, in the order of their terms.
#[must_use]
pub fn read_reigns(told: &[Told]) -> Vec<Reign> {
    let mut reigns: BTreeMap<(u64, Place), Reign> = BTreeMap::new();
    for entry in told {
        let Some(term) = entry.term else { continue };
        let (server, at) = (entry.server, entry.at);
        let opens = OPENING.contains(&entry.kind.as_str());
        // The founder is elected by nobody; its first word of the term counts.
        if !opens && entry.kind != "failover.elected" && entry.kind != "postgres.promoted" {
            continue;
        }
        let reign = reigns.entry((term, server)).or_insert(Reign { term, server, elected: at, opened: None });
        reign.elected = reign.elected.min(at);
        if opens {
            reign.opened = Some(reign.opened.map_or(at, |opened| opened.min(at)));
        }
    }
    reigns.into_values().collect()
}

/// How long the lease was at a moment, in milliseconds, where its holder has chosen another length than the policy's.
#[must_use]
pub fn read_lease_ms(told: &[Told], reigns: &[Reign], at: Duration) -> Option<u64> {
    let reign = reigns.iter().rev().find(|reign| reign.elected <= at)?;
    let chosen = |it: &&Told| it.is("lease.length") && it.server == reign.server;
    let entry = told
        .iter()
        .filter(chosen)
        .filter(|it| (reign.elected..=at).contains(&it.at))
        .max_by_key(|it| it.at)?;
    entry.message.strip_prefix("the lease is ")?.split(' ').next()?.parse().ok()
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

/// No write was acknowledged by a server after another held a newer term, nor before it began to let clients in, but for what
/// `thaws` explain.
#[must_use]
pub fn check_holders(history: &History, reigns: &[Reign], thaws: &[Thaw]) -> Verdict {
    let mut verdict = Verdict::new("only the holder of the newest lease acknowledged writes");
    for operation in history.operations() {
        let Some(at) = operation.acknowledged() else { continue };
        verdict.look();
        if thaws.iter().any(|thaw| thaw.explains(operation)) {
            continue;
        }
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
            Some(reign) if reign.opened.is_none_or(|opened| opened > at + JOURNAL_TICK) => {
                verdict.violated(format!(
                    "`{}` acknowledged at {at:?}, before it let clients in in term {}",
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
    fn a_holder_that_has_let_clients_in_may_acknowledge() {
        let reigns = read_reigns(&[
            told(0, "ravena-1", "clients.open", 1),
            told(30, "ravena-2", "failover.elected", 2),
        ]);
        assert!(check_terms(&reigns).kept());
        assert_eq!(check_holders(&acknowledged(), &reigns, &[]).violations, 0);
    }

    #[test]
    fn an_acknowledgement_after_another_was_elected_is_noticed() {
        let reigns = read_reigns(&[
            told(0, "ravena-1", "clients.open", 1),
            told(20, "ravena-2", "failover.elected", 2),
        ]);
        assert_eq!(check_holders(&acknowledged(), &reigns, &[]).violations, 1);
    }

    /// The first acknowledgement comes at 5 ms.
    #[test]
    fn clients_get_in_when_the_opening_begins_and_not_when_it_is_confirmed() {
        let opened_at = |opening_ms| {
            read_reigns(&[
                told(0, "ravena-1", "failover.elected", 1),
                told(1, "ravena-1", "postgres.promoted", 1),
                told(opening_ms, "ravena-1", "clients.opening", 1),
                told(12, "ravena-1", "clients.open", 1),
            ])
        };
        assert!(check_holders(&acknowledged(), &opened_at(5), &[]).kept());
        assert_eq!(check_holders(&acknowledged(), &opened_at(7), &[]).violations, 1);
    }

    #[test]
    fn an_acknowledgement_in_a_term_that_was_never_opened_is_noticed() {
        let reigns = read_reigns(&[
            told(0, "ravena-1", "clients.open", 1),
            told(12, "ravena-1", "failover.elected", 2),
            told(13, "ravena-1", "postgres.promoted", 2),
        ]);
        assert_eq!(check_holders(&acknowledged(), &reigns, &[]).violations, 2);
    }

    #[test]
    fn an_acknowledgement_before_any_term_is_noticed() {
        let reigns = read_reigns(&[told(8, "ravena-1", "clients.opening", 1)]);
        assert_eq!(check_holders(&acknowledged(), &reigns, &[]).violations, 1);
    }

    #[test]
    fn the_length_of_a_lease_is_that_of_the_holder_since_it_holds_it() {
        let chosen = |at_ms, server: &str, ms: u64| Told {
            message: format!("the lease is {ms} ms long now, it was 3500 ms"),
            ..told(at_ms, server, "lease.length", 0)
        };
        let told = [
            told(0, "ravena-1", "clients.open", 1),
            chosen(10, "ravena-1", 4_375),
            chosen(20, "ravena-1", 5_250),
            told(30, "ravena-2", "failover.elected", 2),
        ];
        let at = |ms| read_lease_ms(&told, &read_reigns(&told), Duration::from_millis(ms));
        assert_eq!([at(5), at(15), at(25), at(35)], [None, Some(4_375), Some(5_250), None]);
    }

    #[test]
    fn two_holders_of_a_term_and_a_term_that_goes_back_are_noticed() {
        let two = [told(0, "ravena-1", "clients.open", 1), told(9, "ravena-2", "clients.open", 1)];
        assert_eq!(check_terms(&read_reigns(&two)).violations, 1);
        let back = [told(9, "ravena-1", "clients.open", 1), told(0, "ravena-2", "clients.open", 2)];
        assert_eq!(check_terms(&read_reigns(&back)).violations, 1);
    }
}
