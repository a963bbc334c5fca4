//! Jepsen's form of a list-append history, which Elle reads.

use super::{Action, Moment, Operation, Outcome, Step};

/// A line of the history; nothing for an operation that is not on lists.
pub(super) fn line(operation: &Operation, moment: Moment) -> Option<String> {
    let Action::Lists { steps, .. } = &operation.action else { return None };
    let (kind, reason) = moment.words(operation);
    // Only an answer says what a read has seen.
    let answered = moment == Moment::End && operation.outcome == Outcome::Ok;
    let steps: Vec<_> = steps.iter().map(|step| self::step(step, answered)).collect();
    let error = reason.map(|reason| format!(", :error {reason:?}")).unwrap_or_default();
    Some(format!(
        "{{:type :{kind}, :f :txn, :value [{}], :process {}, :time {}{error}}}",
        steps.join(" "),
        operation.process,
        moment.time(operation).as_nanos(),
    ))
}

fn step(step: &Step, answered: bool) -> String {
    match step {
        Step::Append { key, value } => format!("[:append {key} {value}]"),
        Step::Read { key, seen: Some(seen) } if answered => {
            let seen: Vec<_> = seen.iter().map(i64::to_string).collect();
            format!("[:r {key} [{}]]", seen.join(" "))
        }
        Step::Read { key, .. } => format!("[:r {key} nil]"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Isolation, Operation};
    use super::*;
    use crate::place::Place;

    fn operation(outcome: Outcome) -> Operation {
        let steps = vec![
            Step::Append { key: 3, value: 1 },
            Step::Read { key: 3, seen: Some(vec![1]) },
            Step::Read { key: 4, seen: Some(vec![]) },
        ];
        Operation {
            process: 7,
            action: Action::Lists { isolation: Isolation::ReadCommitted, steps },
            outcome,
            invoked: Duration::from_nanos(10),
            ended: Duration::from_nanos(25),
            seat: Place::OFFICE,
            server: Place::OFFICE,
            term: None,
        }
    }

    #[test]
    fn a_transaction_is_written_as_elle_reads_it() {
        let operation = operation(Outcome::Ok);
        assert_eq!(
            line(&operation, Moment::Begin).unwrap(),
            "{:type :invoke, :f :txn, :value [[:append 3 1] [:r 3 nil] [:r 4 nil]], :process 7, :time 10}"
        );
        assert_eq!(
            line(&operation, Moment::End).unwrap(),
            "{:type :ok, :f :txn, :value [[:append 3 1] [:r 3 [1]] [:r 4 []]], :process 7, :time 25}"
        );
    }

    #[test]
    fn an_unknown_transaction_says_why_and_has_seen_nothing() {
        let operation = operation(Outcome::Info("no \"answer\"".into()));
        assert_eq!(
            line(&operation, Moment::End).unwrap(),
            "{:type :info, :f :txn, :value [[:append 3 1] [:r 3 nil] [:r 4 nil]], :process 7, :time 25, \
             :error \"no \\\"answer\\\"\"}"
        );
    }
}
