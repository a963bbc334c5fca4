//! A control group of the guard's own, whose members the kernel kills all at once (`cgroup.kill`, Linux 5.14).
//!
//! It makes the kill atomic, and it outlives the guard: what it holds at the next start belongs to a former life.

use std::fs;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use super::clock::BootNanos;

/// Where version 2 may be mounted: alone, or beside version 1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// How long members of a former life may take to die.
const LEFTOVERS_MS_MAX: u64 = 5_000;

/// The group that every postmaster is started in.
#[derive(Debug)]
pub(super) struct Cgroup {
    path: PathBuf,
    kill: fs::File,
    members: fs::File,
    events: fs::File,
}

impl Cgroup {
    /// Makes the group of this run directory below the guard's own, or takes over the one a former guard left.
    ///
    /// # Errors
    ///
    /// Version 2 is not mounted, not writable by the guard or older than `cgroup.kill`.
    pub(super) fn make(run_dir: &Path) -> io::Result<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup")?;
        let own = own_group(&groups)?.trim_start_matches('/');
        let parent = MOUNTS
            .iter()
            .map(|mount| Path::new(mount).join(own))
            .find(|path| path.join("cgroup.procs").exists() && is_version_2(path));
        let parent = parent.ok_or_else(|| io::Error::other("cgroup v2 is not mounted"))?;
        let path = parent.join(name(&fs::metadata(run_dir)?));
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let open = |name: &str| fs::OpenOptions::new().write(true).open(path.join(name));
        let (kill, members) = (open("cgroup.kill")?, open("cgroup.procs")?);
        let events = fs::File::open(path.join("cgroup.events"))?;
        Ok(Self { path, kill, members, events })
    }

    /// Sends `SIGKILL` to every member. Allocates nothing.
    pub(super) fn kill(&self) {
        // What it cannot reach, the walk over the descendants does.
        let _ = (&self.kill).write(b"1");
    }

    /// Kills what a former guard left, and waits for it to be gone. Returns whether there was anything.
    ///
    /// # Errors
    ///
    /// Something lives on, in an uninterruptible wait.
    pub(super) fn empty(&mut self) -> io::Result<bool> {
        if !self.populated()? {
            return Ok(false);
        }
        let limit = BootNanos::now().plus(Duration::from_millis(LEFTOVERS_MS_MAX));
        self.kill();
        while self.populated()? {
            if BootNanos::now() > limit {
                return Err(io::Error::other(format!(
                    "`{}` has members that do not die",
                    self.path.display()
                )));
            }
            sleep(Duration::from_millis(5));
        }
        Ok(true)
    }

    /// Whether nobody has removed it.
    pub(super) fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Where a child writes `0` to enter.
    pub(super) fn members(&self) -> BorrowedFd<'_> {
        self.members.as_fd()
    }

    fn populated(&mut self) -> io::Result<bool> {
        let mut events = String::new();
        self.events.rewind()?;
        self.events.read_to_string(&mut events)?;
        Ok(events.lines().any(|line| line == "populated 1"))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Refused by the kernel while it has members, which is right.
        let _ = fs::remove_dir(&self.path);
    }
}

/// The version 2 line of `/proc/self/cgroup` (cgroups(7)): hierarchy 0 without controllers.
fn own_group(groups: &str) -> io::Result<&str> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"));
    own.ok_or_else(|| io::Error::other("this process is in no cgroup v2"))
}

/// Version 1 hierarchies have `cgroup.procs` too, but no `cgroup.events` and no `cgroup.controllers`.
fn is_version_2(group: &Path) -> bool {
    group.join("cgroup.controllers").exists()
}

/// The same at every start, and different for each guard of a host. By the directory itself and not by its path,
/// since two mount namespaces below one cgroup may use the same path.
fn name(run_dir: &fs::Metadata) -> String {
    format!("show-build-{:x}-{:x}", run_dir.dev(), run_dir.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_2_line_is_found_beside_version_1() {
        let groups = "9:name=systemd:/\n4:memory:/a\n0::/system.slice/guard.service\n";
        assert_eq!(own_group(groups).unwrap(), "/system.slice/guard.service");
        assert!(own_group("4:memory:/a\n").is_err());
    }

    #[test]
    fn a_run_directory_keeps_its_group_and_two_have_two() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name_of = |dir: &tempfile::TempDir| name(&fs::metadata(dir.path()).unwrap());
        assert_eq!(name_of(&first), name_of(&first));
        assert_ne!(name_of(&first), name_of(&second));
    }
}
