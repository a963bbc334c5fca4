//! The launcher's side: starts the lab and waits for it, or starts it and goes away.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::ExitCode;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, pipe2};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::birth::{Birth, Tie};
use super::inside::Given;
use super::{DiskDirectory, STAGE_VARIABLE, StageError};
use crate::options::Storage;

/// A lab in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detached {
    /// Process id of its init; killing it ends the lab.
    pub init: i32,
}

/// Starts this program again inside and waits for its end. The first interrupt asks it to end, the second kills it.
///
/// # Errors
/// When namespaces cannot be made or the program cannot be started.
pub fn launch_attended(storage: &Storage) -> Result<ExitCode, StageError> {
    let start = |errno: nix::errno::Errno| StageError::Start(errno.into());
    let disk = disk_directory(storage)?;
    let (leash_inside, leash) = pipe2(OFlag::O_CLOEXEC).map_err(start)?;
    inherit(&leash_inside).map_err(start)?;
    let given =
        Given { leash: Some(leash_inside.as_raw_fd()), disk: hand_down(disk.as_ref())?, ..Given::default() };
    let init = birth(given, Tie::DiesWithLauncher)?.start()?;
    drop(leash_inside);
    pull_on_signals(leash, init).map_err(StageError::Start)?;
    let ended = wait(init);
    if let Some(disk) = disk {
        disk.remove().map_err(StageError::Start)?;
    }
    Ok(ended)
}

/// Starts this program again inside, where it serves `control`, a listening socket, and outlives the caller.
///
/// # Errors
/// As [`launch_attended`].
pub fn launch_detached(control: &OwnedFd, storage: &Storage) -> Result<Detached, StageError> {
    let disk = disk_directory(storage)?;
    inherit(control).map_err(|errno| StageError::Start(errno.into()))?;
    let given = Given { leash: None, control: Some(control.as_raw_fd()), disk: hand_down(disk.as_ref())? };
    let init = birth(given, Tie::Independent)?.start()?;
    Ok(Detached { init: init.as_raw() })
}

fn disk_directory(storage: &Storage) -> Result<Option<DiskDirectory>, StageError> {
    match storage {
        Storage::Memory => Ok(None),
        Storage::Disk(parent) => DiskDirectory::create(parent)
            .map(Some)
            .map_err(|source| StageError::Disk { parent: parent.clone(), source }),
    }
}

fn hand_down(disk: Option<&DiskDirectory>) -> Result<Option<RawFd>, StageError> {
    disk.map(|disk| inherit(disk.handle())).transpose().map_err(|errno| StageError::Start(errno.into()))
}

fn birth(given: Given, tie: Tie) -> Result<Birth, StageError> {
    let nul = |_| StageError::Start(io::ErrorKind::InvalidInput.into());
    let program = std::env::current_exe().map_err(StageError::Start)?;
    let arguments =
        std::env::args_os().map(|argument| CString::new(argument.into_vec())).collect::<Result<_, _>>();
    let variables = std::env::vars_os()
        .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat())
        .chain([format!("{STAGE_VARIABLE}={}", given.to_text()).into_bytes()]);
    Ok(Birth {
        program: CString::new(program.into_os_string().into_vec()).map_err(nul)?,
        arguments: arguments.map_err(nul)?,
        environment: variables.map(CString::new).collect::<Result<_, _>>().map_err(nul)?,
        tie,
    })
}

fn inherit(descriptor: &impl AsFd) -> nix::Result<RawFd> {
    let descriptor = descriptor.as_fd();
    fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(descriptor.as_raw_fd())
}

fn pull_on_signals(leash: OwnedFd, init: Pid) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::spawn(move || {
        let mut leash = Some(leash);
        for _ in signals.forever() {
            if leash.take().is_none() {
                let _ = kill(init, Signal::SIGKILL);
            }
        }
    });
    Ok(())
}

fn wait(init: Pid) -> ExitCode {
    loop {
        match waitpid(init, None) {
            Ok(WaitStatus::Exited(_, code)) => return ExitCode::from(u8::try_from(code).unwrap_or(1)),
            Ok(WaitStatus::Signaled(..)) => return ExitCode::from(128 + 9),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return ExitCode::FAILURE,
        }
    }
}
