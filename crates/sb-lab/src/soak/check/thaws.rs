//! The one limit of the fences that a soak runs into: a client on the server itself, whose host stood still.

use std::time::Duration;

use crate::place::Place;
use crate::soak::history::Operation;

/// How long after a thaw the guard may need to end PostgreSQL on a busy machine.
const FENCED_AFTER_MAX: Duration = Duration::from_millis(500);

/// A host that stood still goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thaw {
    /// Which.
    pub server: Place,
    /// From when it stood still, since the run began.
    pub from: Duration,
    /// When it went on.
    pub at: Duration,
}

impl Thaw {
    /// Whether an operation was asked of this host before it went on, by a client on the host itself, and answered before the
    /// guard could end PostgreSQL. No packet filter is between the two; what is acknowledged so in the synchronous modes is
    /// with the standbys since before (docs/operations.md, "Limits"), which the check of lost rows shows.
    #[must_use]
    pub fn explains(&self, operation: &Operation) -> bool {
        operation.seat == operation.server
            && operation.server == self.server
            && operation.invoked < self.at
            && (self.from..=self.at + FENCED_AFTER_MAX).contains(&operation.ended)
    }
}

#[cfg(test)]
mod tests {
    use super::super::made::history;
    use super::*;
    use crate::soak::history::{Action, Outcome};

    #[test]
    fn only_a_client_on_the_thawed_host_itself_is_excused_and_only_at_the_thaw() {
        let made = history(vec![(Action::Insert { id: 1 }, Outcome::Ok)]);
        let far = made.operations().first().unwrap().clone();
        let server = far.server;
        let thaw = |from_ms, at_ms| Thaw {
            server,
            from: Duration::from_millis(from_ms),
            at: Duration::from_millis(at_ms),
        };
        let near = Operation { seat: server, ..far.clone() };
        assert!(thaw(0, 4).explains(&near));
        assert!(!thaw(0, 4).explains(&far), "behind the kernel's fence");
        assert!(!thaw(6, 9).explains(&near), "answered before it stood still");
        let late = Operation { ended: Duration::from_millis(505), ..near.clone() };
        assert!(!thaw(0, 4).explains(&late), "the guard has had its time");
        let elsewhere = Thaw { server: Place::named("tucson-1").unwrap(), ..thaw(0, 4) };
        assert!(!elsewhere.explains(&near));
        let afterwards = Operation { invoked: Duration::from_millis(4), ..near };
        assert!(!thaw(0, 4).explains(&afterwards), "asked after it");
    }
}
