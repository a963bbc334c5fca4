//! The register, which only rises, in real time.

use std::collections::BTreeSet;

use super::Verdict;
use crate::soak::history::{Action, History};

/// What was seen by an operation that had ended is not undercut by one that began later; no two increments return the
/// same, and the survivor holds at least the highest.
#[must_use]
pub fn check_register(history: &History, survivor: i64) -> Verdict {
    let mut verdict = Verdict::new("the register only rises");
    let mut raised = BTreeSet::new();
    let mut ends = Vec::new();
    let mut begins = Vec::new();
    for operation in history.operations().iter().filter(|operation| operation.is_ok()) {
        let (value, at_least) = match operation.action {
            Action::Increment { became: Some(value) } => (value, value),
            // A read may see again what was there.
            Action::Register { seen: Some(value) } => (value, value + 1),
            _ => continue,
        };
        verdict.look();
        if matches!(operation.action, Action::Increment { .. }) && !raised.insert(value) {
            verdict.violated(format!("two increments returned {value}"));
        }
        if value > survivor {
            verdict
                .violated(format!("the survivor holds {survivor}, after {value} at {:?}", operation.ended));
        }
        ends.push((operation.ended, value));
        begins.push((operation.invoked, at_least, operation));
    }
    ends.sort_unstable();
    begins.sort_by_key(|(invoked, ..)| *invoked);
    let (mut ended, mut highest) = (ends.into_iter().peekable(), i64::MIN);
    for (invoked, at_least, operation) in begins {
        while let Some((_, value)) = ended.next_if(|(end, _)| *end < invoked) {
            highest = highest.max(value);
        }
        if at_least <= highest {
            let action = &operation.action;
            verdict.violated(format!("{action:?} on `{}` at {invoked:?}, after {highest}", operation.server));
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::super::made::history;
    use super::*;
    use crate::soak::history::Outcome;

    fn check(values: &[(char, i64)], survivor: i64) -> usize {
        let action = |(kind, value): &(char, i64)| match kind {
            '+' => (Action::Increment { became: Some(*value) }, Outcome::Ok),
            _ => (Action::Register { seen: Some(*value) }, Outcome::Ok),
        };
        check_register(&history(values.iter().map(action).collect()), survivor).violations
    }

    #[test]
    fn a_rising_register_is_kept() {
        assert_eq!(check(&[('r', 0), ('+', 1), ('r', 1), ('r', 1), ('+', 3)], 3), 0);
    }

    #[test]
    fn a_stale_read_is_noticed() {
        assert_eq!(check(&[('+', 1), ('+', 2), ('r', 1)], 2), 1);
    }

    #[test]
    fn a_repeated_increment_is_noticed() {
        assert_eq!(check(&[('+', 1), ('+', 1)], 1), 2, "it is the same as another and does not rise");
    }

    #[test]
    fn a_survivor_that_lacks_an_increment_is_noticed() {
        assert_eq!(check(&[('+', 1), ('+', 2)], 1), 1);
    }
}
