//! Leases: nobody acknowledges after its own has ended, whatever others have seen by then.

use std::collections::BTreeMap;
use std::time::Duration;

use super::journals::OPENING;
use super::{Thaw, Told, Verdict};
use crate::place::Place;
use crate::soak::history::History;

/// How much later than the guard's deadline a lease ends, where no entry of the machine says it: the default.
const FENCE_LEAD: Duration = Duration::from_millis(500);

/// How a server's right to acknowledge ended, as it tells itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    /// From here on it had no right; only a new opening gives it one.
    from: Duration,
    /// No answer that was sent in time is noted later than this: the end of the lease.
    over: Duration,
    /// The entry's word.
    kind: &'static str,
}

/// No server acknowledged a write after its own lease had ended, or PostgreSQL was proven gone, until it let clients
/// in anew, but for what `thaws` explain. By each server's own word: its machine's, its guard's.
#[must_use]
pub fn check_leases(history: &History, told: &[Told], thaws: &[Thaw]) -> Verdict {
    let mut verdict = Verdict::new("no server acknowledged after its own lease had ended");
    let (mut ends, mut openings) = (BTreeMap::<_, Vec<End>>::new(), BTreeMap::<_, Vec<Duration>>::new());
    for entry in told {
        match read_end(entry) {
            Some(Ok(end)) => ends.entry(entry.server).or_default().push(end),
            Some(Err(())) => {
                verdict.violated(format!("`{}` says no moment: {:?}", entry.server, entry.detail))
            }
            None if OPENING.contains(&entry.kind.as_str()) => {
                openings.entry(entry.server).or_default().push(entry.at);
            }
            None => {}
        }
    }
    verdict.looked_at += ends.values().map(Vec::len).sum::<usize>();
    for operation in history.operations() {
        let Some(at) = operation.acknowledged() else { continue };
        if thaws.iter().any(|thaw| thaw.explains(operation)) {
            continue;
        }
        let (ends, openings) = (of(&ends, operation.server), of(&openings, operation.server));
        let reopened = |end: &End| openings.iter().any(|opening| (end.from..=at).contains(opening));
        if let Some(end) = ends.iter().find(|end| end.over < at && !reopened(end)) {
            let (server, late) = (operation.server, at - end.over);
            verdict.violated(format!(
                "`{server}` acknowledged at {at:?}, {late:?} after its lease ({})",
                end.kind
            ));
        }
    }
    verdict
}

fn of<T>(map: &BTreeMap<Place, Vec<T>>, server: Place) -> &[T] {
    map.get(&server).map_or(&[], Vec::as_slice)
}

/// What an entry says of an end; an error where it should say a moment and does not.
fn read_end(entry: &Told) -> Option<Result<End, ()>> {
    let kind = match entry.kind.as_str() {
        "lease.ended" => "lease.ended",
        "guard.fenced" => "guard.fenced",
        // The proof stands at the entry itself.
        "fence.proven" => {
            return Some(Ok(End { from: entry.at, over: entry.at + FENCE_LEAD, kind: "fence.proven" }));
        }
        _ => return None,
    };
    let Some(ago) = entry.number_before("ms ago") else { return Some(Err(())) };
    // A deadline from before the run lies at its beginning.
    let from = entry.at.saturating_sub(Duration::from_millis(ago));
    let lead = entry.number_before("ms after it").map_or(FENCE_LEAD, Duration::from_millis);
    Some(Ok(End { from, over: from + lead, kind }))
}

#[cfg(test)]
mod tests {
    use super::super::made::history;
    use super::*;
    use crate::soak::history::{Action, Outcome};

    /// `ravena-1` acknowledges at 5, 1005, 2005 ms: every hundredth operation is a write.
    fn acknowledged() -> History {
        let action =
            |n: i64| if n % 100 == 0 { Action::Insert { id: n } } else { Action::Register { seen: None } };
        history((0..201).map(|n| (action(n), Outcome::Ok)).collect())
    }

    fn told(at_ms: u64, server: &str, kind: &str, detail: &str) -> Told {
        Told {
            at: Duration::from_millis(at_ms),
            server: Place::named(server).unwrap(),
            kind: kind.into(),
            term: Some(1),
            message: String::new(),
            detail: Some(detail.into()),
        }
    }

    fn ended(at_ms: u64, server: &str, ago_ms: u64) -> Told {
        let detail = format!("The deadline passed {ago_ms} ms ago; the lease itself ends 500 ms after it.");
        told(at_ms, server, "lease.ended", &detail)
    }

    fn fenced(at_ms: u64, ago_ms: u64) -> Told {
        let detail = format!("The deadline passed {ago_ms} ms ago; 34 ms later nothing was left.");
        told(at_ms, "ravena-1", "guard.fenced", &detail)
    }

    #[test]
    fn an_answer_up_to_the_end_of_the_lease_is_in_order_and_the_next_is_not() {
        // The deadline at 1505, the lease until 2005 ms.
        assert!(check_leases(&acknowledged(), &[ended(1_506, "ravena-1", 1)], &[]).kept());
        assert_eq!(check_leases(&acknowledged(), &[ended(1_505, "ravena-1", 1)], &[]).violations, 1);
    }

    #[test]
    fn the_guards_own_word_counts_also_when_the_agent_wrote_it_down_much_later() {
        assert_eq!(check_leases(&acknowledged(), &[fenced(30_000, 29_600)], &[]).violations, 2);
        assert!(check_leases(&acknowledged(), &[fenced(30_000, 28_400)], &[]).kept());
    }

    #[test]
    fn nobody_answers_after_the_proof() {
        assert_eq!(
            check_leases(&acknowledged(), &[told(700, "ravena-1", "fence.proven", "")], &[]).violations,
            1
        );
        assert!(check_leases(&acknowledged(), &[told(1_700, "ravena-1", "fence.proven", "")], &[]).kept());
    }

    #[test]
    fn another_servers_end_says_nothing() {
        assert!(check_leases(&acknowledged(), &[ended(400, "ravena-2", 1)], &[]).kept());
    }

    #[test]
    fn a_new_opening_gives_the_right_anew_and_an_older_one_does_not() {
        let open = |at_ms| told(at_ms, "ravena-1", "clients.opening", "");
        assert!(check_leases(&acknowledged(), &[ended(300, "ravena-1", 1), open(900)], &[]).kept());
        assert_eq!(
            check_leases(&acknowledged(), &[ended(300, "ravena-1", 1), open(1_500)], &[]).violations,
            1
        );
        assert_eq!(check_leases(&acknowledged(), &[open(100), ended(300, "ravena-1", 1)], &[]).violations, 2);
    }

    #[test]
    fn an_end_without_a_moment_is_no_end_that_was_shown() {
        assert_eq!(
            check_leases(&acknowledged(), &[told(1, "ravena-2", "guard.fenced", "")], &[]).violations,
            1
        );
    }
}
