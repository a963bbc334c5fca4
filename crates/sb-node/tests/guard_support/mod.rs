//! A guard in a process of its own, and programs for it to run.
#![allow(dead_code, reason = "each test program uses its own part")]

pub mod postgres;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sb_node::guard::{
    ConnectLimits, GuardClient, GuardEvent, GuardEvents, GuardNotice, GuardStatus, Role, StartSpec,
    socket_path,
};

/// How long any condition may take to come true.
pub const LIMIT: Duration = Duration::from_secs(20);
/// How long the guard may take to answer.
pub const REPLY: Duration = Duration::from_secs(5);
/// From the deadline to the last process, at most.
pub const FENCE_MS_MAX: u32 = 300;

/// A user without privileges.
const NOBODY: u32 = 65_534;

/// A running guard; terminated, or else killed, when dropped.
pub struct GuardProcess {
    pub dir: tempfile::TempDir,
    run_as: Privileges,
    child: Option<Child>,
}

/// Who the guard runs as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Privileges {
    /// Whoever runs the tests, which may be root.
    Own,
    /// A user who may do nothing special.
    None,
}

impl GuardProcess {
    /// In a fresh run directory.
    pub fn start() -> Self {
        Self::start_with(Privileges::Own)
    }

    /// The same with these privileges.
    pub fn start_with(run_as: Privileges) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        if run_as == Privileges::None && nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut guard = Self { dir, run_as, child: None };
        guard.start_again();
        guard
    }

    /// Another guard in the same directory, after this one has ended.
    pub fn start_again(&mut self) {
        let arguments = [self.dir.path().to_str().unwrap()];
        self.child = Some(match self.run_as {
            Privileges::Own => spawn_example("guard", &arguments),
            Privileges::None => spawn_example_unprivileged("guard", &arguments),
        });
    }

    pub fn pid(&self) -> Pid {
        pid_of(self.child.as_ref().unwrap())
    }

    pub async fn connect(&self) -> (GuardClient, GuardEvents) {
        let limits = ConnectLimits { attempts_max: 400, pause: Duration::from_millis(25) };
        GuardClient::connect(&socket_path(self.dir.path()), limits).await.unwrap()
    }

    /// Signals the guard and waits for its end.
    pub fn end(&mut self, signal: Signal) -> std::process::ExitStatus {
        let mut child = self.child.take().unwrap();
        kill(pid_of(&child), signal).unwrap();
        let status = wait_for("the guard's end", || child.try_wait().unwrap());
        assert!(status.code().is_some() || signal == Signal::SIGKILL, "{status}");
        status
    }
}

impl Drop for GuardProcess {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = kill(pid_of(&child), Signal::SIGTERM);
        let started = Instant::now();
        while started.elapsed() < LIMIT && matches!(child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Runs an example of this crate.
pub fn spawn_example(name: &str, arguments: &[&str]) -> Child {
    Command::new(example(name)).args(arguments).stdin(Stdio::null()).spawn().unwrap()
}

/// Runs an example of this crate as a user who may do nothing special.
pub fn spawn_example_unprivileged(name: &str, arguments: &[&str]) -> Child {
    if !nix::unistd::geteuid().is_root() {
        return spawn_example(name, arguments);
    }
    let identity = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()];
    let mut command = Command::new("setpriv");
    command.args(identity).arg(example(name)).args(arguments).stdin(Stdio::null());
    command.spawn().unwrap()
}

fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(program.exists(), "build it first: cargo build -p sb-node --examples");
    program
}

pub fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

/// A program that ignores every signal that can be ignored, and forks children, one of them away from itself.
///
/// Each process writes its number into a line of `pids` in the data directory.
pub struct Stubborn {
    pub data_dir: PathBuf,
    program: PathBuf,
}

impl Stubborn {
    /// As many lines as it has processes that last.
    const PROCESSES: usize = 2;

    pub fn new(dir: &Path) -> Self {
        let data_dir = dir.join("data");
        fs::create_dir(&data_dir).unwrap();
        fs::set_permissions(&data_dir, fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(data_dir.join("standby.signal"), "").unwrap();
        let program = dir.join("stubborn");
        let script = "#!/bin/sh\n\
            trap '' QUIT TERM INT HUP USR1 USR2\n\
            (setsid sh -c 'echo $$ >> pids; while :; do sleep 0.2; done' &)\n\
            echo $$ >> pids\n\
            while :; do sleep 0.2; done\n";
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self { data_dir, program }
    }

    pub fn spec(&self, role: Role) -> StartSpec {
        StartSpec {
            program: self.program.clone(),
            args: Vec::new(),
            env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            data_dir: self.data_dir.clone(),
            log_file: Some(self.data_dir.join("log")),
            run_as: None,
            role,
        }
    }

    /// Its processes, once all of them have begun.
    pub async fn pids(&self) -> Vec<Pid> {
        until("its processes have begun", async || {
            let pids = fs::read_to_string(self.data_dir.join("pids")).unwrap_or_default();
            let pids: Vec<Pid> = pids.lines().map(|line| Pid::from_raw(line.parse().unwrap())).collect();
            (pids.len() == Self::PROCESSES).then_some(pids)
        })
        .await
    }
}

/// Whether a process exists, a zombie not counted.
pub fn is_alive(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

/// The next event.
pub async fn event(events: &mut GuardEvents) -> GuardEvent {
    match tokio::time::timeout(LIMIT, events.next()).await.expect("an event comes") {
        GuardNotice::Event(event) => event,
        GuardNotice::Disconnected => panic!("the guard is gone"),
    }
}

/// The next fence.
pub async fn fenced(events: &mut GuardEvents) -> (u64, u32, u32) {
    loop {
        if let GuardEvent::Fenced { term, killed, took_ms } = event(events).await {
            return (term.get(), killed, took_ms);
        }
    }
}

/// Waits for the status to be like this.
pub async fn status_until(
    guard: &GuardClient,
    what: &str,
    like: impl Fn(&GuardStatus) -> bool,
) -> GuardStatus {
    until(what, async || Some(guard.status(REPLY).await.unwrap()).filter(&like)).await
}

/// Waits for a condition, with a limit.
pub async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(started.elapsed() < LIMIT, "waited for nothing: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The same outside of async.
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < LIMIT, "waited for nothing: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
