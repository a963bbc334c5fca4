//! Waiting for a condition, with a limit.

use std::time::{Duration, Instant};

const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What has to stay so is often dear to look at, and what breaks it does not pass by.
const STILL_SO: Duration = Duration::from_millis(100);

/// Returns what `look` finds, or panics when it has found nothing for so long.
///
/// # Panics
/// When the limit has passed.
pub fn eventually<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < limit, "waited {limit:?} until {what}, in vain");
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Panics when `holds` is false at one of the looks during this time.
///
/// # Panics
/// When it is.
pub fn throughout(what: &str, time: Duration, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while began.elapsed() < time {
        assert!(holds(), "{what}: no longer so after {:?}", began.elapsed());
        std::thread::sleep(STILL_SO);
    }
}
