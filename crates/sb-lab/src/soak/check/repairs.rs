//! Diverged servers: each came back in line, and what it alone had is kept.

use super::{Told, Verdict};
use crate::place::Place;
use crate::soak::history::{Action, History, RowId};

/// Entries that end a repair: the server follows, or leads, again.
const BACK: [&str; 3] = ["postgres.following", "postgres.promoted", "clients.open"];

/// A server whose own log went past the fork.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Whose.
    pub server: Place,
    /// How many lost-write reports its parked directory holds.
    pub reports: usize,
    /// How many diverged logs are parked there.
    pub logs: usize,
    /// How many transactions the reports count.
    pub transactions: u64,
    /// Whether each has read its log to the end.
    pub complete: bool,
}

/// Every repair that was begun led back, nobody is left who needs a person, and every parked log has its report.
#[must_use]
pub fn check_repairs(told: &[Told], kept: &[Kept]) -> Verdict {
    let mut verdict = Verdict::new("every diverged server is repaired, and its lost writes are reported");
    for server in Place::servers() {
        let mut of_server: Vec<_> = told.iter().filter(|entry| entry.server == server).collect();
        of_server.sort_by_key(|entry| entry.at);
        let last = |kind: &str| of_server.iter().rposition(|entry| entry.kind == kind);
        let back = of_server.iter().rposition(|entry| is_back(entry));
        for (kind, what) in [("repair.begun", "was not repaired"), ("server.parked", "needs a person")] {
            let begun = last(kind);
            of_server.iter().filter(|entry| entry.kind == kind).for_each(|_| verdict.look());
            if begun > back {
                verdict.violated(format!("`{server}` {what} at the end"));
            }
        }
    }
    for kept in kept {
        verdict.looked_at += kept.logs;
        if kept.reports < kept.logs {
            let Kept { server, reports, logs, .. } = kept;
            verdict.violated(format!("`{server}` has parked {logs} logs and {reports} reports"));
        }
    }
    verdict
}

/// What each server acknowledged and the survivor lacks is counted in that server's own reports.
#[must_use]
pub fn check_reports(history: &History, survivor: &[RowId], kept: &[Kept]) -> Verdict {
    let mut verdict = Verdict::new("every lost row is among the reported transactions of its server");
    for kept in kept {
        let is_lost = |id: &RowId| survivor.binary_search(id).is_err();
        let of_it = history.operations().iter().filter(|it| it.is_ok() && it.server == kept.server);
        let lost = of_it.filter(|it| matches!(&it.action, Action::Insert { id } if is_lost(id))).count();
        verdict.looked_at += lost;
        if kept.complete && u64::try_from(lost).unwrap_or(u64::MAX) > kept.transactions {
            let Kept { server, transactions, .. } = kept;
            verdict.violated(format!("`{server}` acknowledged {lost} lost rows and reports {transactions}"));
        }
    }
    verdict
}

fn is_back(entry: &Told) -> bool {
    BACK.contains(&entry.kind.as_str())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::made::{failed, history};
    use super::*;
    use crate::soak::history::Outcome;

    fn told(at_ms: u64, kind: &str) -> Told {
        let server = Place::named("ravena-1").unwrap();
        Told {
            at: Duration::from_millis(at_ms),
            server,
            kind: kind.into(),
            term: None,
            message: String::new(),
            detail: None,
        }
    }

    #[test]
    fn a_server_that_follows_again_is_repaired() {
        let entries = [told(1, "repair.begun"), told(2, "postgres.following")];
        assert!(check_repairs(&entries, &[]).kept());
        assert!(check_repairs(&[told(1, "server.parked"), told(2, "clients.open")], &[]).kept());
    }

    #[test]
    fn a_repair_without_an_end_and_a_server_that_needs_a_person_are_noticed() {
        assert_eq!(
            check_repairs(&[told(1, "postgres.following"), told(2, "repair.begun")], &[]).violations,
            1
        );
        assert_eq!(check_repairs(&[told(2, "server.parked")], &[]).violations, 1);
    }

    fn kept(reports: usize, logs: usize, transactions: u64) -> Kept {
        Kept { server: Place::named("ravena-1").unwrap(), reports, logs, transactions, complete: true }
    }

    #[test]
    fn a_parked_log_without_its_report_is_noticed() {
        assert!(check_repairs(&[], &[kept(1, 1, 0)]).kept());
        assert_eq!(check_repairs(&[], &[kept(0, 1, 0)]).violations, 1);
        assert_eq!(check_repairs(&[], &[kept(1, 2, 0)]).violations, 1);
    }

    #[test]
    fn a_loss_that_its_server_does_not_report_is_noticed() {
        let rows = history((1..4).map(|id| (Action::Insert { id }, Outcome::Ok)).collect());
        assert!(check_reports(&rows, &[3], &[kept(1, 1, 2)]).kept());
        assert_eq!(check_reports(&rows, &[3], &[kept(1, 1, 1)]).violations, 1);
        let cut = Kept { complete: false, ..kept(1, 1, 1) };
        assert!(check_reports(&rows, &[3], &[cut]).kept(), "it says itself that there may be more");
        let elsewhere = Kept { server: Place::named("tucson-1").unwrap(), ..kept(0, 0, 0) };
        assert!(check_reports(&rows, &[3], &[kept(1, 1, 2), elsewhere]).kept());
    }

    #[test]
    fn a_refused_row_is_not_lost() {
        let rows = history(vec![(Action::Insert { id: 1 }, failed())]);
        assert!(check_reports(&rows, &[], &[kept(0, 0, 0)]).kept());
    }
}
