use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of seats, each taken until it is dropped.
#[derive(Debug, Clone, Default)]
pub struct Seats {
    taken: Arc<AtomicUsize>,
}

/// One of them.
#[derive(Debug)]
pub struct Seat {
    taken: Arc<AtomicUsize>,
}

impl Seats {
    /// A seat, unless `max` are taken.
    pub fn take(&self, max: usize) -> Option<Seat> {
        let more = |taken| (taken < max).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Seat { taken: self.taken.clone() })
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_free_again_when_it_is_dropped_and_never_more_are_taken_than_there_are() {
        let seats = Seats::default();
        let first = seats.take(2).unwrap();
        let _second = seats.take(2).unwrap();
        assert!(seats.take(2).is_none());
        drop(first);
        assert_eq!(seats.taken(), 1);
        assert!(seats.take(2).is_some());
    }
}
