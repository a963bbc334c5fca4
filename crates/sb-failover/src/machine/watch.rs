use serde::{Deserialize, Serialize};

use crate::record::Lease;
use crate::trace::moment;
use crate::{BootTime, Seq, Term, Timings};

/// The waiter's side of the lease: since when it has not moved, by this server's own clock (L2).
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Watch {
    seen: Option<Seen>,
    /// When it was seen to move; what a start replays does not count.
    #[serde(with = "moment")]
    moved: Option<BootTime>,
    #[serde(with = "moment")]
    released: Option<BootTime>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Seen {
    term: Term,
    seq: Seq,
    ttl_ms: u64,
    #[serde(with = "moment")]
    at: BootTime,
}

impl Watch {
    /// Looks at the lease that was applied now. A replay at a start counts as now.
    pub(super) fn look(&mut self, lease: &Lease, now: BootTime) {
        let same = self.seen.is_some_and(|s| (s.term, s.seq) == (lease.term, lease.seq));
        if !same {
            self.moved = self.seen.map(|_| now);
            self.seen = Some(Seen { term: lease.term, seq: lease.seq, ttl_ms: lease.ttl_ms, at: now });
        }
        self.released = match (&lease.released, self.released) {
            (None, _) => None,
            (Some(_), Some(since)) if same => Some(since),
            (Some(_), _) => Some(now),
        };
    }

    /// When the lease has certainly ended; at once when it was given back.
    pub(super) fn over_at(&self, timings: &Timings) -> Option<BootTime> {
        self.released.or_else(|| self.seen.map(|s| s.at + timings.wait(s.ttl_ms)))
    }

    /// When to freeze.
    pub(super) fn suspect_at(&self, timings: &Timings) -> Option<BootTime> {
        self.released.or_else(|| self.seen.map(|s| timings.suspect_at(s.at, s.ttl_ms)))
    }

    /// When the lease was last seen to move in this run: the record was not an old one then.
    pub(super) const fn moved_at(&self) -> Option<BootTime> {
        self.moved
    }

    /// When the lease was last seen to move, or first seen.
    pub(super) fn seen_at(&self) -> Option<BootTime> {
        self.seen.map(|s| s.at)
    }

    /// Since when the lease is known to have been given back.
    pub(super) const fn released_at(&self) -> Option<BootTime> {
        self.released
    }
}
