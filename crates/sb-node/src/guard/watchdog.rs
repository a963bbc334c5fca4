//! `/dev/watchdog`: the machine resets itself when even the guard hangs.
//!
//! The watchdog is petted only while a reset would still come before the lease ends, so it is a third fence: a guard
//! that works takes it down again after its own fence; one that hangs together with the kernel does not.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::Duration;

use super::clock::BootNanos;
use super::log;
use super::messages::{Armed, Degradation};

/// From the last pet to the reset.
const TIMEOUT_SECONDS: libc::c_int = 1;
/// How long before a pet would be too late the next one comes.
const PET_EVERY: Duration = Duration::from_millis(250);
/// From the fence to the end of the lease, at least: the least that timings may be configured to.
const FENCE_TO_LEASE_END: Duration = Duration::from_millis(300);

nix::ioctl_readwrite!(set_timeout, b'W', 6, libc::c_int);

/// A watchdog that runs while a deadline is armed.
#[derive(Debug)]
pub(super) struct Watchdog {
    path: PathBuf,
    device: Option<File>,
    last_pet: BootNanos,
    usable: Usable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Usable {
    Yes,
    No,
}

impl Watchdog {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, device: None, last_pet: BootNanos::from_nanos(0), usable: Usable::Yes }
    }

    /// When it wants to be petted next; `None` when it must not be.
    pub(super) fn next_pet(&self, armed: Option<Armed>) -> Option<BootNanos> {
        let next = self.last_pet.plus(PET_EVERY);
        armed.filter(|armed| self.usable == Usable::Yes && may_pet(*armed, next)).map(|_| next)
    }

    /// Pets it when it is time and the reset would come before the lease's end. Opening the device starts it.
    pub(super) fn on_time(&mut self, armed: Option<Armed>, now: BootNanos, degraded: &mut Vec<Degradation>) {
        let due = self.next_pet(armed).is_some_and(|next| next <= now);
        if !due || !armed.is_some_and(|armed| may_pet(armed, now)) {
            return;
        }
        self.last_pet = now;
        if let Err(error) = self.pet() {
            log::warn(format_args!("cannot use the watchdog `{}`: {error}", self.path.display()));
            self.usable = Usable::No;
            self.rest();
            degraded.push(Degradation::NoWatchdog);
        }
    }

    /// Nothing that may write is alive: stops it, by the magic letter that drivers ask for.
    pub(super) fn rest(&mut self) {
        if let Some(mut device) = self.device.take() {
            let _ = device.write_all(b"V");
        }
    }

    fn pet(&mut self) -> std::io::Result<()> {
        if self.device.is_none() {
            let device = File::options().write(true).open(&self.path)?;
            let mut seconds = TIMEOUT_SECONDS;
            // SAFETY: WDIOC_SETTIMEOUT reads and writes one int, which outlives the call.
            let outcome = unsafe { set_timeout(device.as_raw_fd(), &raw mut seconds) };
            self.device = Some(device);
            outcome?;
            if seconds > TIMEOUT_SECONDS {
                return Err(std::io::Error::other(format!("its shortest timeout is {seconds} s")));
            }
        }
        self.device.as_mut().map_or(Ok(()), |device| device.write_all(b"\0"))
    }
}

/// Whether a reset one timeout after `at` comes before the lease ends.
fn may_pet(armed: Armed, at: BootNanos) -> bool {
    let reset = at.plus(Duration::from_secs(u64::from(TIMEOUT_SECONDS.unsigned_abs())));
    reset <= armed.fence_at.plus(FENCE_TO_LEASE_END)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::messages::Term;

    #[test]
    fn it_is_not_petted_when_the_reset_would_come_after_the_lease() {
        let now = BootNanos::from_nanos(10_000_000_000);
        let armed =
            |ahead_ms| Armed { term: Term::from(1), fence_at: now.plus(Duration::from_millis(ahead_ms)) };
        assert!(may_pet(armed(700), now));
        assert!(!may_pet(armed(699), now));
    }

    #[test]
    fn a_watchdog_that_cannot_be_opened_is_reported_once() {
        let mut watchdog = Watchdog::new("/nonexistent/watchdog".into());
        let now = BootNanos::from_nanos(10_000_000_000);
        let armed = Some(Armed { term: Term::from(1), fence_at: now.plus(Duration::from_secs(3)) });
        let mut degraded = Vec::new();
        watchdog.on_time(armed, now, &mut degraded);
        watchdog.on_time(armed, now.plus(Duration::from_secs(1)), &mut degraded);
        assert_eq!(degraded, [Degradation::NoWatchdog]);
        assert_eq!(watchdog.next_pet(armed), None);
    }
}
