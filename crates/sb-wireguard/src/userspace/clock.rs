use std::io;
use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};

use crate::engine::Moment;

/// Reads both clocks.
pub(super) fn now() -> io::Result<Moment> {
    let boot = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME)?);
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(Moment { boot, wall })
}
