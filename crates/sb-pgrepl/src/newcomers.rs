//! Backends that no view shows: PostgreSQL lists a session only once its client has proved its identity. One that was
//! forked before the door was closed goes by the rules of then, however long its client takes.
//!
//! Other children of the postmaster are in no view either: the logger, and background workers without a database. They live
//! longer than a client may take, which tells them apart.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// In what `/proc` counts a second, on every architecture that Debian has (proc(5), `_SC_CLK_TCK`).
const TICKS_PER_SECOND: u64 = 100;

/// Seconds that PostgreSQL may need to end a client that took too long.
const LATE_SECONDS: u64 = 5;

/// A child of the postmaster, held by descriptor: its number may be given to another process.
pub(crate) struct Newcomer {
    pid: Pid,
    held: OwnedFd,
}

impl Newcomer {
    /// Every child of `postmaster` that may be proving its identity, which takes at most `authentication_seconds`: none
    /// was forked longer than that before `backend`, which was forked just now.
    ///
    /// # Errors
    /// When `backend` is not seen as a child of the postmaster, or processes cannot be looked at.
    pub(crate) fn children_of(
        postmaster: u32,
        backend: i32,
        authentication_seconds: u64,
    ) -> io::Result<Vec<Self>> {
        let postmaster = i32::try_from(postmaster).ok().and_then(Pid::from_raw);
        let newest = Pid::from_raw(backend).and_then(stat_of);
        let (Some(postmaster), Some(newest)) = (postmaster, newest) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if newest.parent != postmaster {
            return Err(io::Error::other("the processes seen here are not those of PostgreSQL"));
        }
        let since = newest.started.saturating_sub((authentication_seconds + LATE_SECONDS) * TICKS_PER_SECOND);
        let young = |pid: &Pid| stat_of(*pid).is_some_and(|s| s.parent == postmaster && s.started >= since);
        let mut newcomers = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?))
            else {
                continue;
            };
            if !young(&pid) {
                continue;
            }
            match pidfd_open(pid, PidfdFlags::empty()) {
                // Looked at once more while it is held, so that it is nobody who was given the number meanwhile.
                Ok(held) if young(&pid) => newcomers.push(Self { pid, held }),
                Ok(_) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(newcomers)
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Asks it to end, as `pg_terminate_backend` does.
    pub(crate) fn end(&self) -> io::Result<()> {
        match pidfd_send_signal(&self.held, Signal::TERM) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether it has not ended.
    pub(crate) fn is_there(&self) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        !matches!(poll(&mut [PollFd::new(&self.held, PollFlags::IN)], Some(&at_once)), Ok(1))
    }
}

struct Stat {
    parent: Pid,
    /// In ticks since boot.
    started: u64,
}

/// Fields 4 and 22 of `/proc/PID/stat` (proc(5)), behind the name, which may hold anything.
fn stat_of(pid: Pid) -> Option<Stat> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(1);
    let parent = Pid::from_raw(fields.next()?.parse().ok()?)?;
    let started = fields.nth(17)?.parse().ok()?;
    Some(Stat { parent, started })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_young_sibling_is_seen_and_ended() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let seen = Newcomer::children_of(std::process::id(), pid, 60).unwrap();
        let newcomer = seen.iter().find(|newcomer| newcomer.pid() == pid).unwrap();
        assert!(newcomer.is_there());
        newcomer.end().unwrap();
        assert!(!child.wait().unwrap().success());
        assert!(!newcomer.is_there());
        assert!(Newcomer::children_of(std::process::id(), pid, 60).is_err(), "it is gone");
    }

    #[test]
    fn whose_child_it_is_and_when_it_began_are_read_behind_the_name() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let me = stat_of(rustix::process::getpid()).unwrap();
        let stat = stat_of(Pid::from_child(&child)).unwrap();
        assert_eq!(stat.parent, rustix::process::getpid());
        let age = stat.started - me.started;
        assert!(age < 600 * TICKS_PER_SECOND, "{age} ticks after this process");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn nobody_is_taken_for_a_child_of_another_process() {
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(Newcomer::children_of(1, me, 60).is_err());
    }
}
