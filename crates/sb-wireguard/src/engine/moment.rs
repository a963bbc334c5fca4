use std::time::Duration;

/// Now, by two clocks. The first decides, the second is only shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// CLOCK_BOOTTIME: it counts while the machine sleeps, and is the clock of `Tunn` inside.
    pub boot: Duration,
    /// Since the Unix epoch.
    pub wall: Duration,
}
