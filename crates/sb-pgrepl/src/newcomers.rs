//! Backends that no view shows: PostgreSQL lists a session only once its client has proved its identity. One that was
//! forked before the door was closed goes by the rules of then, however long its client takes.

use std::fs;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How the title of PostgreSQL's one lasting process ends that is in no view either. A session's ends with what it does.
const LOGGER: &str = ": logger";

/// A child of the postmaster, held by descriptor: its number may be given to another process.
pub(crate) struct Newcomer {
    pid: Pid,
    held: OwnedFd,
    postmaster: Pid,
}

impl Newcomer {
    /// Every living child of the postmaster of `backend`, but the logger. None where this process sees others' numbers
    /// than PostgreSQL does.
    pub(crate) fn children_beside(backend: i32) -> Vec<Self> {
        let stat = Pid::from_raw(backend).and_then(stat_of);
        let Some(postmaster) = stat.map(|stat| stat.parent) else { return Vec::new() };
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
        pids.filter_map(|pid| Self::hold(pid, postmaster)).collect()
    }

    fn hold(pid: Pid, postmaster: Pid) -> Option<Self> {
        stat_of(pid).filter(|stat| stat.parent == postmaster)?;
        let held = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        let newcomer = Self { pid, held, postmaster };
        let logger = title_of(pid).is_some_and(|title| title.trim_end_matches(['\0', ' ']).ends_with(LOGGER));
        (newcomer.is_there() && !logger).then_some(newcomer)
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Asks it to end, as `pg_terminate_backend` does. Where that fails it has ended by itself.
    pub(crate) fn end(&self) {
        let _ = pidfd_send_signal(&self.held, Signal::TERM);
    }

    /// Whether it has not ended.
    pub(crate) fn is_there(&self) -> bool {
        stat_of(self.pid).is_some_and(|stat| stat.parent == self.postmaster && stat.state != "Z")
    }
}

struct Stat {
    state: String,
    parent: Pid,
}

/// From `/proc/PID/stat` (proc(5)), behind the name, which may hold anything.
fn stat_of(pid: Pid) -> Option<Stat> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.to_owned();
    Some(Stat { state, parent: Pid::from_raw(fields.next()?.parse().ok()?)? })
}

fn title_of(pid: Pid) -> Option<String> {
    let bytes = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_living_sibling_is_seen_and_ended() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let seen = Newcomer::children_beside(pid);
        let newcomer = seen.iter().find(|newcomer| newcomer.pid() == pid).unwrap();
        assert!(newcomer.is_there());
        newcomer.end();
        assert!(!child.wait().unwrap().success());
        assert!(!newcomer.is_there());
        assert!(Newcomer::children_beside(pid).is_empty(), "of a process that is gone");
    }
}
