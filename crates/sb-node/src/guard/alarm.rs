//! One timer on `CLOCK_BOOTTIME`, always set to the next thing that time will bring.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::clock::BootNanos;
use super::config::GuardError;

/// A timer that wakes the guard's poll.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: TimerFd,
    set: Option<BootNanos>,
}

impl Alarm {
    pub(super) fn new() -> Result<Self, GuardError> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, flags)
            .map_err(|errno| GuardError::System { action: "make its timer", source: errno.into() })?;
        Ok(Self { timer, set: None })
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.timer.as_fd().as_raw_fd()
    }

    /// Sets it to an absolute instant, or to never. Setting it also takes back an expiry.
    pub(super) fn set(&mut self, at: Option<BootNanos>) {
        if at == self.set {
            return;
        }
        let outcome = match at {
            // Zero would mean never; an instant in the past rings at once.
            Some(at) => {
                let instant = TimeSpec::from_duration(Duration::from_nanos(at.as_nanos().max(1)));
                self.timer.set(Expiration::OneShot(instant), TimerSetTimeFlags::TFD_TIMER_ABSTIME)
            }
            None => self.timer.unset(),
        };
        outcome.expect("the timer is valid and the instant is a number of nanoseconds");
        self.set = at;
    }

    /// It rang: whatever instant comes next has to be set anew.
    pub(super) fn rang(&mut self) {
        self.set = None;
        // A timer that is set again forgets that it has rung; one that is not has to be told.
        let _ = self.timer.unset();
    }
}
