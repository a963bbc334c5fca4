//! Backends of a former life: processes of the same program in the same data directory.
//!
//! When a guard is killed, its postmaster gets `SIGQUIT` from the kernel and ends its backends; one that hangs may
//! still be there when the next guard starts PostgreSQL. Runs in the forked child, as the user of PostgreSQL: only
//! that user, or root with more rights than the guard has, may see another process's directory.

use std::ffi::CStr;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::clock::BootNanos;
use super::descendants::Descendants;

/// How long they may take to die.
const DEATH_MS_MAX: u64 = 5_000;
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sweep {
    /// Processes ended.
    pub killed: u32,
}

/// Kills every process of `program` whose working directory is this process's, and waits until none is left.
/// Allocates nothing.
///
/// # Errors
///
/// `EBUSY` when one lives on, which an uninterruptible wait can make it do.
pub(super) fn sweep(processes: &mut Descendants, program: &CStr) -> nix::Result<Sweep> {
    let here = rustix::fs::stat(c".").map_err(|errno| Errno::from_raw(errno.raw_os_error()))?;
    let limit = BootNanos::now().plus(Duration::from_millis(DEATH_MS_MAX));
    let mut killed = 0;
    loop {
        let mut found = 0;
        processes.for_each_working_in((here.st_dev, here.st_ino), file_name(program.to_bytes()), |pid| {
            found += 1;
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        });
        killed = killed.max(found);
        if found == 0 {
            return Ok(Sweep { killed });
        }
        if BootNanos::now() > limit {
            return Err(Errno::EBUSY);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// What follows the last slash.
pub(super) fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}
