//! Ending processes and collecting the dead: the guard's hands.

use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pause};

use super::cgroup::Cgroup;
use super::clock::BootNanos;
use super::config::GuardError;
use super::descendants::Descendants;
use super::launch::{Launch, Launched, Surroundings};
use super::leftovers::Note;
use super::log;
use super::messages::{Degradation, PostmasterExit};

/// How long the processes of the rehearsal may take to die.
const REHEARSAL_MS_MAX: u64 = 2_000;

/// What a look at the dead found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// The kernel says that this process has no children; a subreaper without children has no descendants.
    Nobody,
    /// At least one lives, or waits for its parent to end.
    Somebody,
}

/// Kills and reaps descendants of this process. All memory is taken when it is made.
pub(super) struct Reaper {
    guard: Pid,
    run_dir: PathBuf,
    descendants: Descendants,
    cgroup: Option<Cgroup>,
    pub(super) note: Note,
}

impl Reaper {
    /// Kills what a former guard of this run directory left, and proves on processes of its own that each way of
    /// killing works.
    pub(super) fn make(run_dir: &Path, degraded: &mut Vec<Degradation>) -> Result<Self, GuardError> {
        let system = |action| move |source| GuardError::System { action, source };
        let mut descendants = Descendants::open().map_err(system("read /proc"))?;
        let cgroup = match Cgroup::make(run_dir) {
            Ok(mut cgroup) => {
                if cgroup.empty().map_err(system("end what a former guard left"))? {
                    log::warn(format_args!("killed what a former guard left"));
                }
                Some(cgroup)
            }
            Err(error) => {
                log::warn(format_args!("cannot have a control group, will search /proc instead: {error}"));
                None
            }
        };
        let note = Note::new(run_dir);
        let ended = note.end_former(&mut descendants).map_err(system("end what a former guard started"))?;
        if ended.killed > 0 {
            log::warn(format_args!("killed {} processes that a former guard started", ended.killed));
        }
        note.forget();
        let mut reaper = Self { guard: Pid::this(), run_dir: run_dir.to_owned(), descendants, cgroup, note };
        if reaper.cgroup.is_some() && !reaper.rehearse(Self::kill_members)? {
            log::warn(format_args!("the control group does not kill, will search /proc instead"));
            reaper.cgroup = None;
        }
        if reaper.cgroup.is_none() {
            degraded.push(Degradation::NoCgroup);
        }
        if !reaper.rehearse(Self::kill_found)? {
            return Err(GuardError::RehearsalFailed);
        }
        Ok(reaper)
    }

    /// Forks the postmaster.
    pub(super) fn launch(&mut self, launch: Launch) -> io::Result<Launched> {
        if self.cgroup.as_ref().is_some_and(|cgroup| !cgroup.exists()) {
            // Somebody tidied up: an empty group can be removed by whoever may make one.
            self.cgroup = Cgroup::make(&self.run_dir).ok();
            log::warn(format_args!("the control group was removed; a new one: {}", self.cgroup.is_some()));
        }
        let members = self.cgroup.as_ref().map(|cgroup| cgroup.members().as_raw_fd());
        launch.fork(Surroundings { guard: self.guard, members, processes: &mut self.descendants })
    }

    /// Asks the postmaster and its process group to end at once. Backends lead groups of their own: the
    /// postmaster passes it on.
    pub(super) fn quit(&self, postmaster: Pid) {
        if killpg(postmaster, Signal::SIGQUIT).is_err() {
            let _ = kill(postmaster, Signal::SIGQUIT);
        }
    }

    /// Kills every descendant that exists now. To be repeated until [`Left::Nobody`].
    pub(super) fn kill_all(&mut self) {
        self.kill_members();
        self.kill_found();
    }

    /// Living descendants.
    pub(super) fn count(&mut self) -> u32 {
        self.descendants.count(self.guard)
    }

    /// Collects the dead. `exit` is set when the postmaster is one of them.
    pub(super) fn reap(&self, postmaster: Option<Pid>, exit: &mut Option<PostmasterExit>) -> Left {
        loop {
            let ended = match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
                Ok(WaitStatus::StillAlive) => return Left::Somebody,
                Err(Errno::ECHILD) => return Left::Nobody,
                Ok(WaitStatus::Exited(pid, code)) => (pid, PostmasterExit::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, PostmasterExit::Signal(signal as i32)),
                // Stops are not asked for; a signal number unknown to the library still ended somebody.
                Ok(_) | Err(_) => continue,
            };
            if Some(ended.0) == postmaster {
                *exit = Some(ended.1);
            }
        }
    }

    fn kill_members(&mut self) {
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
    }

    fn kill_found(&mut self) {
        self.descendants.kill(self.guard);
    }

    /// Makes a child with a child of its own and ends both in the way given. False when one lives on.
    fn rehearse(&mut self, end: fn(&mut Self)) -> Result<bool, GuardError> {
        self.fork_victim()?;
        let limit = BootNanos::now().plus(Duration::from_millis(REHEARSAL_MS_MAX));
        while BootNanos::now() < limit {
            end(self);
            if self.reap(None, &mut None) == Left::Nobody {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(false)
    }

    /// Makes a child with a child of its own; both wait, and do not mind being asked to end.
    pub(super) fn fork_victim(&self) -> Result<Pid, GuardError> {
        // SAFETY: the guard has one thread; the child makes system calls only.
        match unsafe { fork() } {
            Ok(ForkResult::Parent { child }) => Ok(child),
            Ok(ForkResult::Child) => self.play_victim(),
            Err(errno) => Err(GuardError::System { action: "fork", source: errno.into() }),
        }
    }

    fn play_victim(&self) -> ! {
        // Not to outlive a guard that dies right now; what fails here is seen by its outcome.
        let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
        // SAFETY: to ignore a signal runs no code of ours.
        let _ = unsafe { nix::sys::signal::signal(Signal::SIGQUIT, SigHandler::SigIgn) };
        if let Some(cgroup) = &self.cgroup {
            let _ = nix::unistd::write(cgroup.members(), b"0");
        }
        // SAFETY: this process has one thread, and the child only waits.
        let _ = unsafe { fork() };
        loop {
            pause();
        }
    }
}
