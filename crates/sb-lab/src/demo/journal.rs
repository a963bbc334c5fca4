//! What of a server's journal belongs into the story. Pure.

use std::collections::VecDeque;

use sb_api::Event;

/// Kinds that tell engineers how the machine got there; what came of it has an entry of its own.
const INTERNAL_KINDS: [&str; 1] = ["machine.moved"];

/// Kinds that end so are told with their detail.
const UNWELCOME_ENDINGS: [&str; 3] = [".failed", ".refused", ".rejected"];

/// What is tried again and again says so in turns of a few messages; more than these are a new story.
const REMEMBERED_MESSAGES_MAX: usize = 4;

/// One server's journal as the story follows it.
#[derive(Debug, Default)]
pub(super) struct Journal {
    last: u64,
    recent: VecDeque<String>,
}

impl Journal {
    /// The id after which there may be something new.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The lines that new entries are worth. What was told a moment ago is not told again.
    pub(super) fn tell(&mut self, events: &[Event]) -> Vec<String> {
        let mut lines = Vec::new();
        for event in events {
            self.last = self.last.max(event.id);
            if INTERNAL_KINDS.contains(&event.kind.as_str()) || self.recent.contains(&event.message) {
                continue;
            }
            if self.recent.len() == REMEMBERED_MESSAGES_MAX {
                self.recent.pop_front();
            }
            self.recent.push_back(event.message.clone());
            lines.push(line(event));
        }
        lines
    }
}

/// A failure or a refusal without its reason is no news.
fn line(event: &Event) -> String {
    let unwelcome = UNWELCOME_ENDINGS.iter().any(|ending| event.kind.ends_with(ending));
    let reason = event.detail.as_ref().filter(|_| unwelcome);
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{:<13} {}{reason}", event.server, event.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: u64, kind: &str, message: &str) -> Event {
        Event {
            id,
            at: "2026-11-23T08:00:00Z".into(),
            server: "ravena-1".into(),
            kind: kind.into(),
            term: None,
            message: message.into(),
            detail: Some("0/3000060".into()),
        }
    }

    #[test]
    fn what_is_tried_again_and_again_is_told_once() {
        let mut journal = Journal::default();
        let turn =
            |id| [event(id, "operation.started", "clone"), event(id + 1, "operation.failed", "no clone")];
        assert_eq!(journal.tell(&turn(1)), ["ravena-1      clone", "ravena-1      no clone: 0/3000060"]);
        assert_eq!(journal.tell(&turn(3)), [""; 0]);
        assert_eq!(journal.last(), 4);
    }

    #[test]
    fn the_machines_own_moves_are_not_told() {
        let mut journal = Journal::default();
        assert_eq!(journal.tell(&[event(7, "machine.moved", "from following to electing")]), [""; 0]);
        assert_eq!(journal.last(), 7, "it is not asked for again");
    }

    #[test]
    fn something_that_happens_again_later_is_told_again() {
        let mut journal = Journal::default();
        let messages = ["a", "b", "c", "d", "e", "a"];
        let events: Vec<_> = messages.iter().zip(1..).map(|(what, id)| event(id, "x.done", what)).collect();
        assert_eq!(journal.tell(&events).len(), messages.len());
    }
}
