//! Catches the server's warning that a commit did not wait for the standbys: a commit that came with it is not one that
//! was promised.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Where the database library tells of notices.
const TARGET: &str = "sqlx::postgres::notice";

/// How PostgreSQL's warning begins (`SyncRepWaitForLSN` of syncrep.c, English messages).
const WARNINGS: [&str; 2] = ["canceling wait for synchronous", "canceling the wait for synchronous"];

/// Whether the warning came since somebody looked last.
#[derive(Debug, Clone, Default)]
pub(super) struct Warned(Arc<AtomicBool>);

impl Warned {
    /// Whether it came since the last look.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }

    /// Listens on this thread for as long as the guard lives.
    pub(super) fn listen(&self) -> tracing::subscriber::DefaultGuard {
        tracing::subscriber::set_default(Catcher(self.clone()))
    }
}

struct Catcher(Warned);

impl Subscriber for Catcher {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == TARGET
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Look(&self.0));
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}
    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
    fn enter(&self, _span: &Id) {}
    fn exit(&self, _span: &Id) {}
}

struct Look<'a>(&'a Warned);

impl Visit for Look<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" && is_the_warning(&format!("{value:?}")) {
            self.0.0.store(true, Ordering::Relaxed);
        }
    }
}

fn is_the_warning(message: &str) -> bool {
    let message = message.trim_start_matches('"');
    WARNINGS.iter().any(|warning| message.starts_with(warning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warning_is_noticed_once_and_other_notices_are_not() {
        let warned = Warned::default();
        let listening = warned.listen();
        tracing::event!(target: TARGET, tracing::Level::WARN, message = "table \"x\" does not exist, skipping");
        assert!(!warned.take());
        let text = "canceling wait for synchronous replication due to user request";
        tracing::event!(target: TARGET, tracing::Level::WARN, message = text);
        assert!(warned.take());
        assert!(!warned.take());
        drop(listening);
    }
}
