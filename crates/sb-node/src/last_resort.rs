//! What the agent can do when PostgreSQL has to end and the guard does not answer: end both itself.
//!
//! The guard watches the agent by its deadline. This is the other direction (R3): a guard that is stopped or hangs
//! cannot fence, so at the fence the agent kills it, upon which the kernel sends the postmaster `SIGQUIT`
//! (`PR_SET_PDEATHSIG`), and kills what is left of the postmaster a little later. The supervision starts the next
//! guard, which ends what the former one left and gives the proof. Nothing here is a proof itself.
//!
//! Processes are held by descriptor from the moment they are known, so a number that was given to another process
//! meanwhile does no harm.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::guard::{GuardStatus, Postmaster, QUIT_TO_KILL_MS};

/// The two processes that the agent may have to end.
#[derive(Debug, Default)]
pub struct LastResort {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    guard: Option<Process>,
    postmaster: Option<Process>,
}

#[derive(Debug)]
struct Process {
    pid: Pid,
    descriptor: OwnedFd,
}

/// What was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The guard's process, when it was there to be killed.
    pub guard: Option<i32>,
}

impl LastResort {
    /// Notes who is at the other end of a connection to the guard: the process that listens, as the kernel says.
    pub fn note_guard(&self, socket: &impl std::os::fd::AsFd) {
        let pid = getsockopt(socket, PeerCredentials).ok().and_then(|peer| Pid::from_raw(peer.pid()));
        self.lock().guard = pid.and_then(Process::hold);
    }

    /// Notes the postmaster that the guard tells of, if it is the guard's child also for this process.
    pub fn note_postmaster(&self, status: &GuardStatus) {
        let told = match status.postmaster {
            Postmaster::Running { pid } | Postmaster::Starting { pid } => i32::try_from(pid).ok(),
            Postmaster::Absent | Postmaster::Ending => None,
        };
        let mut held = self.lock();
        let Some(pid) = told.and_then(Pid::from_raw) else {
            held.postmaster = None;
            return;
        };
        if held.postmaster.as_ref().is_some_and(|known| known.pid == pid) {
            return;
        }
        let guard = held.guard.as_ref().map(|guard| guard.pid);
        // In another process namespace the numbers would be somebody else's.
        let child = guard.is_some() && parent_of(pid) == guard;
        held.postmaster = if child { Process::hold(pid) } else { None };
    }

    /// Kills the guard, asks the postmaster to end at once, and kills it [`QUIT_TO_KILL_MS`] later.
    pub async fn end_both(&self) -> Ended {
        let guard = {
            let held = self.lock();
            if let Some(postmaster) = &held.postmaster {
                postmaster.signal(Signal::QUIT);
            }
            held.guard.as_ref().and_then(|guard| guard.signal(Signal::KILL).then_some(guard.pid))
        };
        tokio::time::sleep(Duration::from_millis(QUIT_TO_KILL_MS)).await;
        if let Some(postmaster) = &self.lock().postmaster {
            postmaster.signal(Signal::KILL);
        }
        Ended { guard: guard.map(|pid| pid.as_raw_nonzero().get()) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    fn hold(pid: Pid) -> Option<Self> {
        let descriptor = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        Some(Self { pid, descriptor })
    }

    /// Whether it was there, and this process may do so.
    fn signal(&self, signal: Signal) -> bool {
        pidfd_send_signal(&self.descriptor, signal).is_ok()
    }
}

/// The fourth field of `/proc/PID/stat` (proc(5)), behind the name, which may hold anything.
fn parent_of(pid: Pid) -> Option<Pid> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let behind_the_name = stat.rsplit_once(") ")?.1;
    Pid::from_raw(behind_the_name.split(' ').nth(1)?.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_read_behind_the_name() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_child(&child);
        assert_eq!(parent_of(pid), Some(rustix::process::getpid()));
        let held = Process::hold(pid).unwrap();
        assert!(held.signal(Signal::KILL));
        child.wait().unwrap();
        assert!(!held.signal(Signal::KILL), "a descriptor of a process that is gone reaches nobody else");
    }
}
