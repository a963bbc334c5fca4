//! Diverged servers: each came back in line, and what it alone had is kept.

use super::{Told, Verdict};
use crate::place::Place;

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
            if begun.is_some() && begun > back {
                verdict.violated(format!("`{server}` {what} at the end"));
            }
        }
    }
    for kept in kept {
        verdict.looked_at += kept.logs;
        if kept.reports < kept.logs {
            let Kept { server, reports, logs } = kept;
            verdict.violated(format!("`{server}` has parked {logs} logs and {reports} reports"));
        }
    }
    verdict
}

/// A server that is started as a standby after its repair says so by the machine's move alone.
fn is_back(entry: &Told) -> bool {
    let moved = entry.kind == "machine.moved" && entry.message == "from Repairing to Following";
    moved || BACK.contains(&entry.kind.as_str())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

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
        let moved = Told { message: "from Repairing to Following".into(), ..told(2, "machine.moved") };
        assert!(check_repairs(&[told(1, "repair.begun"), moved], &[]).kept());
    }

    #[test]
    fn a_repair_without_an_end_and_a_server_that_needs_a_person_are_noticed() {
        assert_eq!(
            check_repairs(&[told(1, "postgres.following"), told(2, "repair.begun")], &[]).violations,
            1
        );
        assert_eq!(check_repairs(&[told(2, "server.parked")], &[]).violations, 1);
    }

    #[test]
    fn a_parked_log_without_its_report_is_noticed() {
        let server = Place::named("ravena-1").unwrap();
        assert!(check_repairs(&[], &[Kept { server, reports: 1, logs: 1 }]).kept());
        assert_eq!(check_repairs(&[], &[Kept { server, reports: 0, logs: 1 }]).violations, 1);
    }
}
