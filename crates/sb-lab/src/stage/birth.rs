//! The one place that makes processes by hand: `clone3` with new namespaces, then a minimal init.
//!
//! Everything between `clone3` and `execve` happens in a copy of a process that may have had threads, so only
//! system calls are made there: no allocation, no locks, nothing from std.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Pid, Uid, pipe2};
use rustix::thread::CapabilitySets;

use super::StageError;

/// What the launcher's death means for init.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tie {
    /// Init is killed with the thread that launched it.
    DiesWithLauncher,
    /// Init goes on.
    Independent,
}

/// Everything that the child needs, made before it exists.
pub(super) struct Birth {
    pub(super) program: CString,
    pub(super) arguments: Vec<CString>,
    pub(super) environment: Vec<CString>,
    pub(super) tie: Tie,
}

/// What the child was doing when it failed; sent as its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Step {
    MapUser,
    KeepCapabilities,
    Fork,
    Execute,
}

impl Step {
    const ALL: [Self; 4] = [Self::MapUser, Self::KeepCapabilities, Self::Fork, Self::Execute];

    fn words(self) -> &'static str {
        match self {
            Self::MapUser => "map the user",
            Self::KeepCapabilities => "keep capabilities",
            Self::Fork => "start a process",
            Self::Execute => "execute the program",
        }
    }
}

/// A user id mapped to itself: PostgreSQL refuses to run as root, also as the root of a user namespace.
struct UserMap {
    user: Vec<u8>,
    group: Vec<u8>,
}

impl Birth {
    /// Makes the namespaces, init and the program in them. Returns init's process id when the program runs.
    pub(super) fn start(&self) -> Result<Pid, StageError> {
        let arguments = pointers(&self.arguments);
        let environment = pointers(&self.environment);
        let (failure, report) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| StageError::Start(errno.into()))?;
        let map = (!Uid::effective().is_root()).then(|| UserMap {
            user: format!("{0} {0} 1", Uid::effective()).into_bytes(),
            group: format!("{0} {0} 1", Gid::effective()).into_bytes(),
        });
        let user_namespace = if map.is_some() { libc::CLONE_NEWUSER } else { 0 };
        let namespaces =
            libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | user_namespace;
        // SAFETY: the child only makes system calls (see the module), and never returns.
        let pid = match unsafe { clone3(namespaces) } {
            Err(error) => return Err(StageError::Namespaces(error)),
            Ok(0) => self.run_init(&arguments, &environment, map.as_ref(), report.as_raw_fd()),
            Ok(pid) => Pid::from_raw(pid),
        };
        drop(report);
        match read_failure(failure) {
            None => Ok(pid),
            Some((step, source)) => {
                let _ = nix::sys::wait::waitpid(pid, None);
                Err(StageError::Setup { step: step.words(), source })
            }
        }
    }

    fn run_init(
        &self,
        arguments: &[*const libc::c_char],
        environment: &[*const libc::c_char],
        map: Option<&UserMap>,
        report: RawFd,
    ) -> ! {
        let _ = nix::unistd::setsid();
        if self.tie == Tie::DiesWithLauncher {
            let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
        }
        if let Some(map) = map {
            map.write().unwrap_or_else(|errno| fail(report, Step::MapUser, errno));
            keep_capabilities().unwrap_or_else(|errno| fail(report, Step::KeepCapabilities, errno));
        }
        // SAFETY: as in `start`; both sides only make system calls.
        match unsafe { clone3(0) } {
            Err(error) => fail(report, Step::Fork, error.raw_os_error().unwrap_or(0)),
            Ok(0) => {
                // SAFETY: the arrays end with a null pointer and their strings live in `self`.
                unsafe { libc::execve(self.program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
                fail(report, Step::Execute, nix::errno::Errno::last_raw())
            }
            Ok(lab) => reap_until(lab),
        }
    }
}

/// PID 1: adopts and reaps orphans until the lab ends, and then ends as it did.
fn reap_until(lab: libc::pid_t) -> ! {
    // The pipes that the launcher and the lab share must not stay open through init.
    // SAFETY: closing descriptors and waiting touch no memory but `status`.
    unsafe {
        libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, 0);
        loop {
            let mut status = 0;
            if libc::waitpid(-1, &raw mut status, 0) == lab {
                let code = if libc::WIFEXITED(status) {
                    libc::WEXITSTATUS(status)
                } else {
                    128 + libc::WTERMSIG(status)
                };
                libc::_exit(code);
            }
        }
    }
}

impl UserMap {
    fn write(&self) -> Result<(), i32> {
        write_file(c"/proc/self/setgroups", b"deny")?;
        write_file(c"/proc/self/uid_map", &self.user)?;
        write_file(c"/proc/self/gid_map", &self.group)
    }
}

fn write_file(path: &CStr, content: &[u8]) -> Result<(), i32> {
    let raw = |errno: nix::errno::Errno| errno as i32;
    let file = nix::fcntl::open(path, OFlag::O_WRONLY, nix::sys::stat::Mode::empty()).map_err(raw)?;
    nix::unistd::write(&file, content).map(drop).map_err(raw)
}

/// A user other than root loses every capability when a program is executed, except the ambient ones.
fn keep_capabilities() -> Result<(), i32> {
    let raw = |errno: rustix::io::Errno| errno.raw_os_error();
    let own = rustix::thread::capabilities(None).map_err(raw)?;
    let kept = CapabilitySets { inheritable: own.permitted, ..own };
    rustix::thread::set_capabilities(None, kept).map_err(raw)?;
    for capability in own.permitted.iter() {
        // A capability that this kernel does not know cannot be lost either.
        let _ = rustix::thread::configure_capability_in_ambient_set(capability, true);
    }
    Ok(())
}

fn fail(report: RawFd, step: Step, errno: i32) -> ! {
    let mut message = [0u8; 5];
    message[0] = step as u8;
    message[1..].copy_from_slice(&errno.to_ne_bytes());
    // SAFETY: the buffer is as long as said; `_exit` does not return.
    unsafe {
        libc::write(report, message.as_ptr().cast(), message.len());
        libc::_exit(127)
    }
}

/// Nothing arrives when `execve` has closed the pipe.
fn read_failure(pipe: OwnedFd) -> Option<(Step, io::Error)> {
    let mut message = [0u8; 5];
    io::Read::read_exact(&mut std::fs::File::from(pipe), &mut message).ok()?;
    let step = Step::ALL.into_iter().find(|step| *step as u8 == message[0])?;
    let errno = i32::from_ne_bytes([message[1], message[2], message[3], message[4]]);
    Some((step, io::Error::from_raw_os_error(errno)))
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// `fork` with new namespaces.
///
/// # Safety
/// The child has the caller's memory but only this thread: it may make system calls, no more.
unsafe fn clone3(flags: libc::c_int) -> io::Result<libc::pid_t> {
    let arguments = CloneArguments {
        flags: u64::from(flags.cast_unsigned()),
        exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
        ..CloneArguments::default()
    };
    // SAFETY: the structure is the kernel's first version of it (64 bytes), and outlives the call.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArguments>()) };
    match libc::pid_t::try_from(pid) {
        Ok(pid) if pid >= 0 => Ok(pid),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `struct clone_args` of clone(2), its first version.
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

/// Takes a descriptor that was inherited by number, and keeps it from the programs that the lab starts.
pub(super) fn adopt(descriptor: RawFd) -> OwnedFd {
    // SAFETY: the launcher made this descriptor for this process alone and named it once.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let _ = fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
    descriptor
}
