//! The book of writes. Pure: times are given, nothing is sent.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::place::Place;

/// Most writes in one ledger, about 100 MB; a recorder stops writing there.
pub const WRITES_MAX: usize = 1_000_000;

/// The row that a write inserts; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub i64);

/// What is known of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Sent; the answer may have been lost.
    Unknown,
    /// The database said that it is committed.
    Acknowledged,
}

/// Every write of a run. A write is unknown from the moment it is sent until an answer proves that it is
/// committed: an error proves nothing, because the answer may have been lost on its way.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    writes: BTreeMap<WriteId, Fate>,
    acknowledgements: Vec<(Instant, Place)>,
}

impl Ledger {
    /// An empty book.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens an entry, before the write is sent. Returns its row, or nothing when the book is full.
    pub fn send(&mut self) -> Option<WriteId> {
        if self.writes.len() >= WRITES_MAX {
            return None;
        }
        let id = WriteId(i64::try_from(self.writes.len()).ok()? + 1);
        self.writes.insert(id, Fate::Unknown);
        Some(id)
    }

    /// A server has answered that this write is committed.
    pub fn acknowledge(&mut self, id: WriteId, at: Instant, by: Place) {
        self.writes.insert(id, Fate::Acknowledged);
        self.acknowledgements.push((at, by));
    }

    /// Whether a write was acknowledged; `None` for a row that was never sent.
    pub(super) fn was_acknowledged(&self, id: WriteId) -> Option<bool> {
        self.writes.get(&id).map(|fate| *fate == Fate::Acknowledged)
    }

    /// Every write that was acknowledged.
    pub(super) fn acknowledged_ids(&self) -> impl Iterator<Item = WriteId> + '_ {
        self.writes.iter().filter(|(_, fate)| **fate == Fate::Acknowledged).map(|(id, _)| *id)
    }

    /// How many writes were sent.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.writes.len()
    }

    /// How many writes were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.acknowledgements.len()
    }

    /// When the last acknowledgement came.
    #[must_use]
    pub fn last_acknowledgement(&self) -> Option<Instant> {
        self.acknowledgements.iter().map(|(at, _)| *at).max()
    }

    /// When the last acknowledgement of this server came.
    #[must_use]
    pub fn last_acknowledgement_by(&self, server: Place) -> Option<Instant> {
        self.acknowledgements.iter().filter(|(_, by)| *by == server).map(|(at, _)| *at).max()
    }

    /// How long [`Self::longest_silence`] was.
    #[must_use]
    pub fn write_gap(&self, fault: Instant) -> Option<Duration> {
        self.longest_silence(fault).map(|silence| silence.to.duration_since(silence.from))
    }

    /// The longest time between two consecutive acknowledgements of which the second came after `fault`; nothing
    /// when none came: then writes never came back, which no number can say.
    #[must_use]
    pub fn longest_silence(&self, fault: Instant) -> Option<Silence> {
        let mut times: Vec<Instant> = self.acknowledgements.iter().map(|(at, _)| *at).collect();
        times.sort_unstable();
        let after = times.partition_point(|at| *at <= fault);
        let before = after.checked_sub(1).map_or(fault, |last| times[last]);
        let rest = &times[after..];
        let starts = std::iter::once(before).chain(rest.iter().copied());
        let silences = starts.zip(rest).map(|(from, to)| Silence { from, to: *to });
        silences.max_by_key(|silence| silence.to.duration_since(silence.from))
    }
}

/// A time without acknowledgements, between one and the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// The last acknowledgement before.
    pub from: Instant,
    /// The first one after.
    pub to: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acknowledged_at(milliseconds: &[u64]) -> (Ledger, Instant) {
        let start = Instant::now();
        let mut ledger = Ledger::new();
        for at in milliseconds {
            let id = ledger.send().unwrap();
            ledger.acknowledge(id, start + Duration::from_millis(*at), Place::OFFICE);
        }
        (ledger, start)
    }

    #[test]
    fn the_gap_is_the_longest_silence_that_ends_after_the_fault() {
        let (ledger, start) = acknowledged_at(&[0, 5_000, 5_020, 7_000, 7_010]);
        assert_eq!(
            ledger.write_gap(start + Duration::from_millis(5_030)),
            Some(Duration::from_millis(1_980))
        );
    }

    #[test]
    fn a_silence_that_began_before_the_fault_counts_from_its_beginning() {
        let (ledger, start) = acknowledged_at(&[0, 100, 900, 910]);
        assert_eq!(ledger.write_gap(start + Duration::from_millis(500)), Some(Duration::from_millis(800)));
    }

    #[test]
    fn two_clients_answers_may_come_out_of_order() {
        let (ledger, start) = acknowledged_at(&[0, 300, 100, 200]);
        assert_eq!(ledger.write_gap(start), Some(Duration::from_millis(100)));
    }

    #[test]
    fn no_gap_is_claimed_when_writes_never_came_back() {
        let (ledger, start) = acknowledged_at(&[0, 100]);
        assert_eq!(ledger.write_gap(start + Duration::from_millis(200)), None);
    }

    #[test]
    fn the_last_answer_of_each_server_is_known() {
        let (mut ledger, start) = acknowledged_at(&[0, 100]);
        let (old, new) = (Place::OFFICE, Place::servers().next().unwrap());
        let id = ledger.send().unwrap();
        ledger.acknowledge(id, start + Duration::from_millis(300), new);
        assert_eq!(ledger.last_acknowledgement_by(old), Some(start + Duration::from_millis(100)));
        assert_eq!(ledger.last_acknowledgement(), ledger.last_acknowledgement_by(new));
    }

    #[test]
    fn only_answers_count_as_acknowledged() {
        let mut ledger = Ledger::new();
        let (one, two) = (ledger.send().unwrap(), ledger.send().unwrap());
        assert_ne!(one, two);
        ledger.acknowledge(two, Instant::now(), Place::OFFICE);
        assert_eq!((ledger.sent(), ledger.acknowledged()), (2, 1));
        assert_eq!(ledger.was_acknowledged(one), Some(false));
        assert_eq!(ledger.was_acknowledged(two), Some(true));
        assert_eq!(ledger.was_acknowledged(WriteId(99)), None);
    }
}
