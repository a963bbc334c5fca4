//! What the guard takes from the system so that nothing keeps it from its deadline.

use std::fs;
use std::io;

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use rustix::mm::MlockAllFlags;

use super::config::GuardError;
use super::log;
use super::messages::Degradation;

/// Above every ordinary process, below the kernel's own threads.
const REAL_TIME_PRIORITY: i32 = 50;
const OOM_SCORE_MIN: &str = "-1000";

/// Becomes the subreaper, which it cannot do without, and takes what else is permitted. Returns what is not.
pub(super) fn take() -> Result<Vec<Degradation>, GuardError> {
    set_child_subreaper(true)
        .map_err(|errno| GuardError::System { action: "become the child subreaper", source: errno.into() })?;
    let mut degraded = Vec::new();
    let mut note = |outcome: io::Result<()>, degradation, what| {
        if let Err(error) = outcome {
            log::warn(format_args!("cannot {what}: {error}"));
            degraded.push(degradation);
        }
    };
    note(lock_memory(), Degradation::MemoryNotLocked, "lock its memory");
    note(take_real_time(), Degradation::NoRealTimePriority, "take real-time priority");
    note(
        fs::write("/proc/self/oom_score_adj", OOM_SCORE_MIN),
        Degradation::OomKillable,
        "leave the OOM killer's list",
    );
    Ok(degraded)
}

/// Locks pages as they are used: the drill uses all that the real fence will, and the rest of a
/// large binary need not stay in memory.
fn lock_memory() -> io::Result<()> {
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    rustix::mm::mlockall(flags).map_err(io::Error::from)
}

fn take_real_time() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: REAL_TIME_PRIORITY };
    // SAFETY: `parameters` is a valid structure that the call only reads; 0 is the calling thread.
    let result = unsafe {
        libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const parameters)
    };
    Errno::result(result).map(drop).map_err(io::Error::from)
}
