use std::time::Duration;

use sb_failover::BootTime;

/// One host's CLOCK_BOOTTIME: another offset and another rate on each, and it does not stop while the host sleeps.
#[derive(Clone, Debug)]
pub struct Clock {
    booted_ns: u64,
    base_ns: u64,
    ppm: i64,
}

impl Clock {
    pub const fn new(base_ns: u64, ppm: i64) -> Self {
        Self { booted_ns: 0, base_ns, ppm }
    }

    /// What it shows at the simulation's time `now`.
    pub fn read(&self, now: u64) -> BootTime {
        let elapsed = i128::from(now.saturating_sub(self.booted_ns));
        let own = i128::from(self.base_ns) + elapsed + elapsed * i128::from(self.ppm) / 1_000_000;
        BootTime::since_boot(Duration::from_nanos(u64::try_from(own).expect("a minute and a bit")))
    }

    /// The first moment of the simulation at which it shows at least `at`.
    pub fn when(&self, at: BootTime) -> u64 {
        let shown = i128::try_from(at.as_duration().as_nanos()).unwrap_or(i128::MAX / 2_000_000);
        let elapsed =
            (shown - i128::from(self.base_ns)).max(0) * 1_000_000 / (1_000_000 + i128::from(self.ppm)) + 1;
        self.booted_ns + u64::try_from(elapsed).unwrap_or(u64::MAX / 2)
    }

    /// The host boots.
    pub const fn restart(&mut self, now: u64) {
        self.booted_ns = now;
        self.base_ns = 5_000_000_000;
    }

    /// A hypervisor pause that the guest's clock did not see: the one case that no timer in the guest can cover.
    pub const fn lose(&mut self, paused_ns: u64) {
        self.booted_ns += paused_ns;
    }
}
