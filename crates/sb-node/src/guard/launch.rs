//! From a fork to PostgreSQL's first instruction.
//!
//! All that allocates is done before the fork. The child then makes only system calls, in an order that matters, and
//! tells through a pipe which one failed; when the pipe closes by itself, the program runs. The guard never waits
//! for it: whatever needs the disk is done by the child.

use std::ffi::{CString, NulError};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::{ForkResult, Pid, fork, pipe2};

use super::descendants::Descendants;
use super::launch_report::{Record, Step, send_report, write_all};
use super::leftovers::{self, Sweep};
use super::messages::{Refusal, Role, RunAs, StartSpec};

/// Where standard input comes from, and output goes to without a log file.
const NOTHING: &std::ffi::CStr = c"/dev/null";
/// Files of a log are the server's user's alone.
const LOG_MODE: libc::mode_t = 0o600;

/// A start with everything allocated.
pub(super) struct Launch {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    data_dir: CString,
    log_file: Option<CString>,
    run_as: Option<RunAs>,
    role: Role,
}

/// A forked child on its way to the program.
#[derive(Debug)]
pub(super) struct Launched {
    pub pid: Pid,
    /// Closes when the program runs.
    pub report: OwnedFd,
}

/// What the guard lends to the child.
pub(super) struct Surroundings<'a> {
    pub guard: Pid,
    /// Where to enter the control group, if there is one.
    pub members: Option<RawFd>,
    /// Memory for the child's own walk over the processes; a copy of the guard's after the fork.
    pub processes: &'a mut Descendants,
}

impl Launch {
    /// Takes the request apart.
    ///
    /// # Errors
    ///
    /// [`Refusal::Invalid`] when a text holds a NUL, a path is relative or a group list is too long.
    pub(super) fn prepare(spec: &StartSpec) -> Result<Self, Refusal> {
        let absolute = |path: &Path, what: &str| {
            let c_path = CString::new(path.as_os_str().as_bytes()).ok().filter(|_| path.is_absolute());
            c_path.ok_or_else(|| Refusal::Invalid { what: format!("the {what} `{}`", path.display()) })
        };
        let nul = |_: NulError| Refusal::Invalid { what: "a text with a NUL in it".to_owned() };
        let groups = spec.run_as.as_ref().map_or(0, |run_as| run_as.groups.len());
        if groups > RunAs::GROUPS_MAX {
            return Err(Refusal::Invalid { what: format!("a list of {groups} groups") });
        }
        let program = absolute(&spec.program, "program")?;
        let mut arguments = vec![program.clone()];
        for argument in &spec.args {
            arguments.push(CString::new(argument.as_str()).map_err(nul)?);
        }
        let variable = |(name, value): &(String, String)| CString::new(format!("{name}={value}"));
        Ok(Self {
            program,
            arguments,
            environment: spec.env.iter().map(variable).collect::<Result<_, _>>().map_err(nul)?,
            data_dir: absolute(&spec.data_dir, "data directory")?,
            log_file: spec.log_file.as_deref().map(|path| absolute(path, "log file")).transpose()?,
            run_as: spec.run_as.clone(),
            role: spec.role,
        })
    }

    /// Forks. The child is in the caller's control group and session until it has run.
    ///
    /// # Errors
    ///
    /// No pipe or no process could be had.
    pub(super) fn fork(self, surroundings: Surroundings<'_>) -> io::Result<Launched> {
        let (report, child_end) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let argv = pointers(&self.arguments);
        let envp = pointers(&self.environment);
        // SAFETY: the guard has one thread, so no lock is held by another; the child's path below allocates
        // nothing and ends in `execve` or `_exit`.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Launched { pid: child, report }),
            ForkResult::Child => {
                let (step, errno) = match self.become_postmaster(surroundings, &argv, &envp, &child_end) {
                    Ok(never) => match never {},
                    Err(failure) => failure,
                };
                send_report(&child_end, Record { kind: step as u32, value: errno as u32 });
                // SAFETY: ends the child without running the guard's destructors.
                unsafe { libc::_exit(127) }
            }
        }
    }

    fn become_postmaster(
        &self,
        surroundings: Surroundings<'_>,
        argv: &[*const libc::c_char],
        envp: &[*const libc::c_char],
        report: &OwnedFd,
    ) -> Result<std::convert::Infallible, (Step, Errno)> {
        let at = |step: Step| move |errno: Errno| (step, errno);
        reset_signal_actions();
        nix::unistd::setsid().map_err(at(Step::Session))?;
        leave_real_time().map_err(at(Step::Scheduling))?;
        // Always permitted to a child of a guard that has lowered its own; else there is nothing to reset.
        let _ = write_file(c"/proc/self/oom_score_adj", b"0");
        if let Some(members) = surroundings.members {
            write_all(members, b"0").map_err(at(Step::ControlGroup))?;
        }
        self.change_identity()?;
        // A change of user clears it, so it comes after; and the guard may have died before it was set.
        nix::sys::prctl::set_pdeathsig(Signal::SIGQUIT).map_err(at(Step::DeathSignal))?;
        if nix::unistd::getppid() != surroundings.guard {
            return Err((Step::Parent, Errno::ESRCH));
        }
        nix::unistd::chdir(self.data_dir.as_c_str()).map_err(at(Step::DataDirectory))?;
        self.redirect().map_err(at(Step::Output))?;
        match leftovers::sweep(surroundings.processes, &self.program).map_err(at(Step::Leftovers))? {
            Sweep { killed: 0 } => {}
            Sweep { killed } => send_report(report, Record { kind: Record::LEFTOVERS, value: killed }),
        }
        if self.role == Role::Standby {
            rustix::fs::access(c"standby.signal", rustix::fs::Access::EXISTS)
                .map_err(|errno| (Step::StandbySignal, Errno::from_raw(errno.raw_os_error())))?;
        }
        close_all_at_exec();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).map_err(at(Step::Program))?;
        // SAFETY: both arrays end in a null pointer and point into strings that `self` keeps.
        unsafe { libc::execve(self.program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
        Err((Step::Program, Errno::last()))
    }

    /// Groups before the user, since the right to change them goes with the user.
    fn change_identity(&self) -> Result<(), (Step, Errno)> {
        drop_bounding_set();
        if let Some(RunAs { uid, gid, groups }) = &self.run_as {
            // SAFETY: the pointer and length are those of one slice of gid_t (u32).
            let result = unsafe { libc::setgroups(groups.len(), groups.as_ptr()) };
            Errno::result(result).map_err(|errno| (Step::Groups, errno))?;
            // SAFETY: plain numbers.
            let result = unsafe { libc::setresgid(*gid, *gid, *gid) };
            Errno::result(result).map_err(|errno| (Step::Groups, errno))?;
            // SAFETY: plain numbers.
            let result = unsafe { libc::setresuid(*uid, *uid, *uid) };
            Errno::result(result).map_err(|errno| (Step::User, errno))?;
        }
        drop_capabilities().map_err(|errno| (Step::Capabilities, errno))
    }

    fn redirect(&self) -> nix::Result<()> {
        // SAFETY: the mask is a plain number.
        unsafe { libc::umask(0o077) };
        let input = open(NOTHING, libc::O_RDONLY)?;
        let output = match &self.log_file {
            Some(path) => open(path, libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT)?,
            None => open(NOTHING, libc::O_WRONLY)?,
        };
        for (from, to) in [(input, 0), (output, 1), (output, 2)] {
            // SAFETY: both are descriptors of this process, which has one thread.
            Errno::result(unsafe { libc::dup2(from, to) })?;
        }
        Ok(())
    }
}

fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Ignored signals stay ignored over `execve`, and Rust's start-up ignores `SIGPIPE`.
fn reset_signal_actions() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the default action runs no code of ours. `SIGKILL`, `SIGSTOP` and libc's own are refused.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

fn leave_real_time() -> nix::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: `parameters` is a valid structure that the call only reads; 0 is the calling process.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const parameters) };
    Errno::result(result).map(drop)
}

/// Children get no capability back by running a program, not even as root. Without the right to lower the set there
/// is nothing in it that an ordinary user could get back either.
fn drop_bounding_set() {
    let mut capability: libc::c_ulong = 0;
    // SAFETY: plain numbers; the call fails behind the last capability.
    while unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } == 0 {
        capability += 1;
    }
}

fn drop_capabilities() -> nix::Result<()> {
    /// `_LINUX_CAPABILITY_VERSION_3` of capset(2).
    const VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION_3, 0];
    let none: [u32; 6] = [0; 6];
    // SAFETY: plain numbers. Kernels without ambient capabilities have none to clear.
    unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    // SAFETY: header (version, this process) and two sets of three words, as capset(2) lays them out.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    Errno::result(result).map(drop)
}

/// The report pipe needs to stay until then: its closing says that the program runs. The guard's own descriptors
/// have the flag already; this is for what its parent left open, and kernels before 5.11 do without.
fn close_all_at_exec() {
    // SAFETY: only a flag of descriptors changes.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

fn open(path: &std::ffi::CStr, flags: libc::c_int) -> nix::Result<RawFd> {
    // SAFETY: `path` is a valid string for the length of the call.
    Errno::result(unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC | libc::O_NOCTTY, LOG_MODE) })
}

fn write_file(path: &std::ffi::CStr, text: &[u8]) -> nix::Result<()> {
    write_all(open(path, libc::O_WRONLY)?, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> StartSpec {
        StartSpec {
            program: "/bin/true".into(),
            args: vec![],
            env: vec![],
            data_dir: "/tmp".into(),
            log_file: None,
            run_as: None,
            role: Role::Standby,
        }
    }

    #[test]
    fn a_relative_program_is_refused() {
        let relative = StartSpec { program: "postgres".into(), ..spec() };
        let refusal = Launch::prepare(&relative).err().unwrap();
        assert_eq!(refusal, Refusal::Invalid { what: "the program `postgres`".to_owned() });
    }
}
