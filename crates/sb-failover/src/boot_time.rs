use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A reading of this host's `CLOCK_BOOTTIME`: it does not jump and it goes on while the host is suspended.
///
/// It means nothing on another host or after a reboot, so it has no serialized form (rule R1).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootTime(Duration);

impl BootTime {
    /// From the time since boot, as `clock_gettime(CLOCK_BOOTTIME)` gives it.
    #[must_use]
    pub const fn since_boot(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// The time since boot, for a timer on the same clock.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        self.0
    }

    /// How long ago `earlier` was; zero when it is not earlier.
    #[must_use]
    pub const fn since(self, earlier: BootTime) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for BootTime {
    type Output = BootTime;

    fn add(self, later: Duration) -> BootTime {
        BootTime(self.0.saturating_add(later))
    }
}

impl Sub<Duration> for BootTime {
    type Output = BootTime;

    /// Stops at boot: a deadline before boot is a deadline that has passed.
    fn sub(self, earlier: Duration) -> BootTime {
        BootTime(self.0.saturating_sub(earlier))
    }
}

impl fmt::Debug for BootTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:.3}s", self.0.as_secs_f64())
    }
}
