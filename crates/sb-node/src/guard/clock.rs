use std::fmt;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A reading of this host's `CLOCK_BOOTTIME`, in nanoseconds.
///
/// `CLOCK_BOOTTIME` goes on while the machine is suspended, which `CLOCK_MONOTONIC` (and with it
/// [`std::time::Instant`] and tokio's timers) does not: only this clock may hold a deadline. A reading means
/// nothing on another host or after a reboot; it is neither persisted nor sent off the machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BootNanos(u64);

impl BootNanos {
    /// Reads the clock.
    #[must_use]
    pub fn now() -> Self {
        let reading = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("every supported kernel has this clock");
        let seconds = u64::try_from(reading.tv_sec()).expect("the clock counts from boot");
        let nanos = u64::try_from(reading.tv_nsec()).expect("a fraction of a second is positive");
        Self(seconds * 1_000_000_000 + nanos)
    }

    /// A reading made elsewhere on this host, in nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The reading, in nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The instant `after` later; the far end of the clock when that is beyond it.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long from `earlier` to here; zero when `earlier` is not earlier.
    #[must_use]
    pub fn since(self, earlier: BootNanos) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for BootNanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "boot+{:?}", Duration::from_nanos(self.0))
    }
}
