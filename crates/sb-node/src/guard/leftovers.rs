//! Backends of a former life: processes of the same program in the same data directory.
//!
//! When a guard is killed, its postmaster gets `SIGQUIT` from the kernel and ends its backends; one that hangs or is
//! stopped may still be there when the next guard begins. That one is not a descendant of the next guard, whose proof
//! would pass over it. So a guard notes where it starts PostgreSQL and forgets it when nothing is left, and the next
//! one ends what it finds there before it answers anybody. Each start looks again, in the forked child, as the user
//! of PostgreSQL: only that user, or root with more rights than the guard has, may see another process's directory.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::clock::BootNanos;
use super::descendants::Descendants;

/// Where a guard notes what it has started, in its run directory: two lines, program and data directory.
const NOTE: &str = "guard.started";
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
    end_all(processes, file_name(program.to_bytes()), (here.st_dev, here.st_ino))
}

/// The note of one run directory.
pub(super) struct Note {
    path: PathBuf,
}

impl Note {
    pub(super) fn new(run_dir: &Path) -> Self {
        Self { path: run_dir.join(NOTE) }
    }

    /// Notes that `program` is about to be started in `data_dir`.
    ///
    /// # Errors
    ///
    /// It cannot be written: then nothing may be started.
    pub(super) fn write(&self, program: &Path, data_dir: &Path) -> io::Result<()> {
        let lines = [program.as_os_str().as_bytes(), data_dir.as_os_str().as_bytes()];
        fs::write(&self.path, lines.join(&b'\n'))
    }

    /// Nothing is left of what was started.
    pub(super) fn forget(&self) {
        // A note that stays costs the next guard a look.
        let _ = fs::remove_file(&self.path);
    }

    /// Ends what a former guard started and did not see the end of.
    ///
    /// # Errors
    ///
    /// Something lives on, or `/proc` or the data directory cannot be read: then nothing is proven.
    pub(super) fn end_former(&self, processes: &mut Descendants) -> io::Result<Sweep> {
        let note = match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Sweep { killed: 0 }),
            note => note?,
        };
        let cut = note.iter().position(|byte| *byte == b'\n');
        let Some((program, data_dir)) = cut.map(|cut| (&note[..cut], &note[cut + 1..])) else {
            // Cut by the end of its writer, which then has started nothing.
            return Ok(Sweep { killed: 0 });
        };
        let here = match fs::metadata(Path::new(std::ffi::OsStr::from_bytes(data_dir))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Sweep { killed: 0 }),
            here => here?,
        };
        end_all(processes, file_name(program), (here.dev(), here.ino())).map_err(io::Error::from)
    }
}

fn end_all(processes: &mut Descendants, program: &[u8], directory: (u64, u64)) -> nix::Result<Sweep> {
    let limit = BootNanos::now().plus(Duration::from_millis(DEATH_MS_MAX));
    let mut killed = 0;
    loop {
        let mut found = 0;
        processes.for_each_working_in(directory, program, |pid| {
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
