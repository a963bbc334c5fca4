//! The one door to the failover machine for what was seen: nothing that was looked at before an operation ended is told
//! after its end.
//!
//! An observation made while PostgreSQL was still stopped, told after "it is started", would make the machine start it
//! again.

use sb_failover::{Event, OpFailure, OpId, OpOutput};
use tokio::sync::{Mutex, mpsc};

/// How many operations had ended at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(u64);

/// Tells the machine.
#[derive(Debug)]
pub struct Teller {
    events: mpsc::Sender<Event>,
    ended: Mutex<u64>,
}

impl Teller {
    /// Tells `events`.
    #[must_use]
    pub fn new(events: mpsc::Sender<Event>) -> Self {
        Self { events, ended: Mutex::new(0) }
    }

    /// Now, to be taken before a look.
    pub async fn epoch(&self) -> Epoch {
        Epoch(*self.ended.lock().await)
    }

    /// Tells what was seen by a look that began at `since`. `false`: an operation has ended since, look again.
    pub async fn seen(&self, event: Event, since: Epoch) -> bool {
        let ended = self.ended.lock().await;
        if Epoch(*ended) != since {
            return false;
        }
        // The machine is gone when the agent ends; then nobody has to be told.
        let _ = self.events.send(event).await;
        true
    }

    /// Tells the end of an operation.
    pub async fn ended(&self, op: OpId, result: Result<OpOutput, OpFailure>) {
        let mut ended = self.ended.lock().await;
        *ended += 1;
        let _ = self.events.send(Event::Done { op, result }).await;
    }

    /// Tells something that no look can be older than.
    pub async fn tell(&self, event: Event) {
        let _ = self.events.send(event).await;
    }
}

#[cfg(test)]
mod tests {
    use sb_failover::{GuardReport, Processes};

    use super::*;

    #[tokio::test]
    async fn a_look_begun_before_an_end_is_not_told_after_it() {
        let (sender, mut events) = mpsc::channel(8);
        let teller = Teller::new(sender);
        let report = Event::Guard(GuardReport { armed: None, processes: Processes::Gone });
        let before = teller.epoch().await;
        teller.ended(OpId::new(1), Ok(OpOutput::Nothing)).await;
        assert!(!teller.seen(report.clone(), before).await);
        let after = teller.epoch().await;
        assert!(teller.seen(report, after).await);
        assert!(matches!(events.recv().await, Some(Event::Done { .. })));
        assert!(matches!(events.recv().await, Some(Event::Guard(_))));
    }
}
