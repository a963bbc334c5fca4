//! Everything that the clients of a run asked, and what became of it. Pure but for writing it to a file.

mod clock;
mod edn;
mod operation;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

pub use clock::RunClock;
pub use operation::{Action, Isolation, Key, Operation, Outcome, RowId, Step};

/// Most operations of one client, about 200 bytes each; a client stops there.
pub const OPERATIONS_OF_A_CLIENT_MAX: usize = 2_000_000;

/// Every operation of a run, in the order in which they were sent.
#[derive(Debug, Clone, Default)]
pub struct History {
    operations: Vec<Operation>,
}

/// One line of a history in a file: an operation begins or ends.
#[derive(Debug, Serialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    process: u32,
    time_ns: u128,
    server: &'a str,
    term: Option<u64>,
    action: &'a Action,
    reason: Option<&'a str>,
}

impl History {
    /// The operations of several clients.
    #[must_use]
    pub fn new(mut operations: Vec<Operation>) -> Self {
        operations.sort_by_key(|operation| operation.invoked);
        Self { operations }
    }

    /// Every operation, in the order in which they were sent.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Notes for every operation which term its server held.
    pub fn note_terms(&mut self, term_of: impl Fn(&Operation) -> Option<u64>) {
        for operation in &mut self.operations {
            operation.term = term_of(operation);
        }
    }

    /// When writes were acknowledged, in order.
    #[must_use]
    pub fn acknowledgements(&self) -> Vec<Duration> {
        let mut times: Vec<_> = self.operations.iter().filter_map(Operation::acknowledged).collect();
        times.sort_unstable();
        times
    }

    /// Writes it down: one JSON object a line, a line where an operation begins and one where it ends.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        for (operation, moment) in self.moments() {
            let (kind, reason) = moment.words(operation);
            let line = Line {
                kind,
                process: operation.process,
                time_ns: moment.time(operation).as_nanos(),
                server: operation.server.name(),
                term: operation.term,
                action: &operation.action,
                reason,
            };
            serde_json::to_writer(&mut file, &line)?;
            file.write_all(b"\n")?;
        }
        file.flush()
    }

    /// Writes the list transactions down as Jepsen does, for an outside checker.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_edn(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        for (operation, moment) in self.moments() {
            if let Some(line) = edn::line(operation, moment) {
                writeln!(file, "{line}")?;
            }
        }
        file.flush()
    }

    /// Beginnings and ends of all operations, in the order of time.
    fn moments(&self) -> Vec<(&Operation, Moment)> {
        let both = |operation| [(operation, Moment::Begin), (operation, Moment::End)];
        let mut moments: Vec<_> = self.operations.iter().flat_map(both).collect();
        // An operation begins before it ends, also within one tick of the clock.
        moments.sort_by_key(|(operation, moment)| (moment.time(operation), *moment == Moment::End));
        moments
    }
}

/// One of the two moments of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Begin,
    End,
}

impl Moment {
    fn time(self, operation: &Operation) -> Duration {
        match self {
            Self::Begin => operation.invoked,
            Self::End => operation.ended,
        }
    }

    fn words(self, operation: &Operation) -> (&'static str, Option<&str>) {
        match (self, &operation.outcome) {
            (Self::Begin, _) => ("invoke", None),
            (Self::End, Outcome::Ok) => ("ok", None),
            (Self::End, Outcome::Fail(reason)) => ("fail", Some(reason)),
            (Self::End, Outcome::Info(reason)) => ("info", Some(reason)),
        }
    }
}
