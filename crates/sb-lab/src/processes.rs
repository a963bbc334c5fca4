//! The processes of a host: those whose network namespace is the host's.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fault::Part;

/// How long killed processes may take to be gone.
const GONE_SECONDS_MAX: u64 = 5;

/// Between two looks at what is left.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// One process of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostProcess {
    /// Its id in the lab.
    pub pid: i32,
    /// Its arguments.
    pub arguments: Vec<String>,
}

impl HostProcess {
    /// Which part of a server it is. PostgreSQL's own children count as none: they fall with the postmaster.
    #[must_use]
    pub fn part(&self) -> Option<Part> {
        let word = |n: usize| self.arguments.get(n).map_or("", String::as_str);
        let program = word(0).rsplit('/').next().unwrap_or("");
        match (program, word(1)) {
            ("sb-agent", "guard") => Some(Part::Guard),
            ("sb-agent", _) => Some(Part::Agent),
            ("etcd", _) => Some(Part::Etcd),
            ("postgres", argument) if argument.starts_with('-') => Some(Part::Postgres),
            _ => None,
        }
    }
}

/// Every process in the network namespace with this inode.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn of_namespace(inode: u64) -> io::Result<Vec<HostProcess>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse::<i32>() else { continue };
        // A process may end between the two looks; then it belongs to nobody.
        let belongs = fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(|net| net.ino() == inode);
        if let (true, Ok(line)) = (belongs, fs::read(format!("/proc/{pid}/cmdline"))) {
            found.push(HostProcess { pid, arguments: words(&line) });
        }
    }
    Ok(found)
}

/// Sends a signal to every process of a namespace; those that end meanwhile do not matter.
///
/// # Errors
/// When `/proc` cannot be read or a process may not be signalled.
pub fn signal_all(inode: u64, signal: Signal) -> io::Result<()> {
    of_namespace(inode)?.iter().try_for_each(|process| send(process, signal))
}

/// Sends a signal to one part of a host, and says how many processes that was.
///
/// # Errors
/// As [`signal_all`].
pub fn signal_part(inode: u64, part: Part, signal: Signal) -> io::Result<usize> {
    let processes = of_namespace(inode)?;
    let meant: Vec<_> =
        processes.iter().filter(|process| part == Part::Host || process.part() == Some(part)).collect();
    meant.iter().try_for_each(|process| send(process, signal))?;
    Ok(meant.len())
}

/// Kills every process of a namespace, also those that are started meanwhile, and waits until none is left.
///
/// # Errors
/// When some are left after 5 s, as processes in uninterruptible sleep are.
pub fn kill_all(inode: u64) -> io::Result<()> {
    let limit = Instant::now() + Duration::from_secs(GONE_SECONDS_MAX);
    loop {
        let left = of_namespace(inode)?;
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > limit {
            let message = format!("{} processes survive SIGKILL, first {:?}", left.len(), left[0]);
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        left.iter().try_for_each(|process| send(process, Signal::SIGKILL))?;
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn send(process: &HostProcess, signal: Signal) -> io::Result<()> {
    match kill(Pid::from_raw(process.pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn words(line: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(line);
    text.trim_end_matches('\0').split('\0').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part_of(line: &[u8]) -> Option<Part> {
        HostProcess { pid: 1, arguments: words(line) }.part()
    }

    #[test]
    fn parts_are_told_apart_by_their_arguments() {
        assert_eq!(part_of(b"/x/sb-agent\0guard\0--run-dir\0/r\0"), Some(Part::Guard));
        assert_eq!(part_of(b"/x/sb-agent\0run\0--run-dir\0/r\0"), Some(Part::Agent));
        assert_eq!(part_of(b"/usr/lib/postgresql/15/bin/postgres\0-D\0/d\0"), Some(Part::Postgres));
        assert_eq!(part_of(b"/usr/bin/etcd\0--name\0ravena-1\0"), Some(Part::Etcd));
        assert_eq!(part_of(b"postgres: ravena-1: walwriter \0"), None);
        assert_eq!(part_of(b"sleep\x0060\0"), None);
        assert_eq!(part_of(b""), None);
    }
}
