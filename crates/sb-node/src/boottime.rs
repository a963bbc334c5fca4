//! Readings of CLOCK_BOOTTIME, the only clock that decides about a lease (rules R1 and R2).
//!
//! It goes on while the machine is suspended, which `std::time::Instant` and tokio's timers (CLOCK_MONOTONIC)
//! do not.

use std::time::Duration;

use sb_failover::BootTime;

/// Now, by CLOCK_BOOTTIME of this host.
#[must_use]
pub fn now() -> BootTime {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(t.tv_sec).expect("CLOCK_BOOTTIME starts at zero when the host boots");
    let nanos = u32::try_from(t.tv_nsec).expect("the kernel keeps nanoseconds under one second");
    BootTime::since_boot(Duration::new(seconds, nanos))
}
