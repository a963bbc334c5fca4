//! Backends that no view shows: PostgreSQL lists a session only once its client has proved its identity. One that was
//! forked before the door was closed goes by the rules of then, however long its client takes.
//!
//! Other children of the postmaster are in no view either: the logger, and background workers without a database. Titles
//! tell them apart: a client's has where it comes from, and that of a process that was forked just now is the postmaster's
//! own (`init_ps_display`, which goes by no setting).

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How every title begins that PostgreSQL has set.
const TITLE: &str = "postgres: ";

/// A child of the postmaster, held by descriptor: its number may be given to another process.
pub(crate) struct Newcomer {
    pid: Pid,
    held: OwnedFd,
}

impl Newcomer {
    /// Every child of `postmaster` that serves a client, or may be about to. `backend` is one.
    ///
    /// # Errors
    /// When `backend` is not seen as a child of the postmaster, or processes cannot be looked at.
    pub(crate) fn children_of(postmaster: u32, backend: i32) -> io::Result<Vec<Self>> {
        let postmaster = i32::try_from(postmaster).ok().and_then(Pid::from_raw);
        let Some(postmaster) =
            postmaster.filter(|it| Pid::from_raw(backend).and_then(parent_of) == Some(*it))
        else {
            return Err(io::Error::other("the processes seen here are not those of PostgreSQL"));
        };
        let mut newcomers = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| Pid::from_raw(name.parse().ok()?)) else {
                continue;
            };
            if parent_of(pid) != Some(postmaster) {
                continue;
            }
            match pidfd_open(pid, PidfdFlags::empty()) {
                // Looked at once more while it is held, so that it is nobody who was given the number meanwhile.
                Ok(held) if parent_of(pid) == Some(postmaster) && serves_a_client(pid) => {
                    let newcomer = Self { pid, held };
                    if newcomer.is_there() {
                        newcomers.push(newcomer);
                    }
                }
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

/// The fourth field of `/proc/PID/stat` (proc(5)), behind the name, which may hold anything.
fn parent_of(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    Pid::from_raw(stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?)
}

/// One without a title is ending, or has just begun: it may.
fn serves_a_client(pid: Pid) -> bool {
    let title = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    names_a_client(&String::from_utf8_lossy(&title))
}

/// `postgres: ROLE DATABASE HOST(PORT) DOING`, or `[local]` for the host. Some say the cluster's name first.
fn names_a_client(title: &str) -> bool {
    let in_brackets = |part: &str| part.split_once(')').is_some_and(|(port, _)| port.parse::<u16>().is_ok());
    !title.starts_with(TITLE) || title.contains("[local]") || title.split('(').skip(1).any(in_brackets)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_child_is_seen_and_ended() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let seen = Newcomer::children_of(std::process::id(), pid).unwrap();
        let newcomer = seen.iter().find(|newcomer| newcomer.pid() == pid).unwrap();
        assert!(newcomer.is_there());
        newcomer.end().unwrap();
        assert!(!child.wait().unwrap().success());
        assert!(!newcomer.is_there());
        assert!(Newcomer::children_of(std::process::id(), pid).is_err(), "it is gone");
    }

    #[test]
    fn nobody_is_taken_for_a_child_of_another_process() {
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(Newcomer::children_of(1, me).is_err());
    }

    #[test]
    fn a_title_tells_who_serves_a_client() {
        let clients = [
            "postgres: show_build show_build 10.0.1.100(41234) authentication",
            "postgres: ravena-1: walsender replicator fd00::2(41234) initializing",
            "postgres: postgres postgres [local] startup",
            "/usr/lib/postgresql/15/bin/postgres\0-D\0/srv/data\0",
            "",
        ];
        assert!(clients.iter().all(|title| names_a_client(title)));
        let others =
            ["postgres: logger \0", "postgres: ravena-1: autoprewarm leader", "postgres: checkpointer"];
        assert!(!others.iter().any(|title| names_a_client(title)));
    }
}
