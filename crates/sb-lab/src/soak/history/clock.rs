//! The one clock of a run, and how a journal's moments are placed on it.

use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// CLOCK_BOOTTIME since the run began, for clients, faults and servers alike: in the lab they share one kernel.
///
/// Journals name moments by the wall clock. The two are read together at the beginning, and again whenever somebody
/// asks how far they have drifted apart.
#[derive(Debug, Clone, Copy)]
pub struct RunClock {
    boot: Duration,
    wall: Timestamp,
}

impl RunClock {
    /// The run begins.
    #[must_use]
    pub fn start() -> Self {
        Self { boot: boot_time(), wall: Timestamp::now() }
    }

    /// Now, since the run began.
    #[must_use]
    pub fn now(&self) -> Duration {
        boot_time().saturating_sub(self.boot)
    }

    /// Where a journal's moment lies; nothing for one before the run, or one that is no moment.
    #[must_use]
    pub fn place(&self, at: &str) -> Option<Duration> {
        let at: Timestamp = at.parse().ok()?;
        Duration::try_from(at.duration_since(self.wall)).ok()
    }

    /// How far the wall clock was set since the run began.
    #[must_use]
    pub fn drift(&self) -> Duration {
        let wall = Duration::try_from(Timestamp::now().duration_since(self.wall)).unwrap_or_default();
        wall.abs_diff(self.now())
    }
}

fn boot_time() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journals_moment_lies_where_it_happened() {
        let clock = RunClock::start();
        let later = format!("{:.3}", clock.wall + Duration::from_secs(3));
        let placed = clock.place(&later).unwrap();
        assert!(placed.abs_diff(Duration::from_secs(3)) <= Duration::from_millis(1), "{placed:?}");
        assert_eq!(clock.place("yesterday"), None);
    }
}
