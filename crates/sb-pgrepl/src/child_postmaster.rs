use std::fs::OpenOptions;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{Postmaster, PostmasterState, ShutdownMode, StartError, StartSpec, StopError};

/// How often an ending postmaster is looked at.
const EXIT_POLL_MS: u64 = 5;
/// How long a dropped one may take to end before it is killed.
const DROP_GRACE_MS_MAX: u64 = 2_000;

/// The plain [`Postmaster`]: a child of this process, ended when this value is dropped. It outlives a process that is killed:
/// what must not happen to a cluster needs a guard.
#[derive(Debug, Default)]
pub struct ChildPostmaster {
    child: Mutex<Option<Child>>,
}

impl ChildPostmaster {
    /// Without a postmaster yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process id while it lives.
    fn pid(&self) -> Option<u32> {
        let mut slot = self.child();
        let child = slot.as_mut()?;
        matches!(child.try_wait(), Ok(None)).then(|| child.id())
    }

    fn signal(&self, mode: ShutdownMode) {
        let signal = match mode {
            ShutdownMode::Smart => Signal::SIGTERM,
            ShutdownMode::Fast => Signal::SIGINT,
            ShutdownMode::Immediate => Signal::SIGQUIT,
        };
        if let Some(pid) = self.pid().and_then(|pid| i32::try_from(pid).ok()) {
            // It may have ended just now: then there is nothing to tell.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

fn spawn(spec: &StartSpec) -> std::io::Result<Child> {
    let log = OpenOptions::new().append(true).create(true).open(&spec.log_file)?;
    let mut command = Command::new(&spec.program);
    command.args(&spec.args).env_clear().envs(spec.env.iter().cloned()).current_dir(&spec.data_dir);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
    if let Some(run_as) = spec.run_as {
        command.uid(run_as.uid).gid(run_as.gid);
    }
    command.spawn()
}

#[async_trait]
impl Postmaster for ChildPostmaster {
    async fn start(&self, spec: &StartSpec) -> Result<(), StartError> {
        if let Some(pid) = self.pid() {
            return Err(StartError::Running { pid });
        }
        let child =
            spawn(spec).map_err(|source| StartError::Spawn { program: spec.program.clone(), source })?;
        *self.child() = Some(child);
        Ok(())
    }

    async fn stop(&self, mode: ShutdownMode, within: Duration) -> Result<(), StopError> {
        self.signal(mode);
        let deadline = Instant::now() + within;
        while let Some(pid) = self.pid() {
            if Instant::now() >= deadline {
                return Err(StopError::Deadline { pid, within });
            }
            tokio::time::sleep(Duration::from_millis(EXIT_POLL_MS)).await;
        }
        *self.child() = None;
        Ok(())
    }

    async fn state(&self) -> PostmasterState {
        let mut slot = self.child();
        let Some(child) = slot.as_mut() else { return PostmasterState::Absent };
        match child.try_wait() {
            Ok(None) => PostmasterState::Running { pid: child.id() },
            Ok(Some(status)) => PostmasterState::Exited {
                how: match status.signal() {
                    Some(signal) => format!("signal {signal}"),
                    None => format!("exit status {}", status.code().unwrap_or(-1)),
                },
            },
            Err(error) => PostmasterState::Exited { how: error.to_string() },
        }
    }
}

impl Drop for ChildPostmaster {
    fn drop(&mut self) {
        self.signal(ShutdownMode::Immediate);
        let deadline = Instant::now() + Duration::from_millis(DROP_GRACE_MS_MAX);
        while self.pid().is_some() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(EXIT_POLL_MS));
        }
        if let Some(child) = self.child().as_mut() {
            // After an orderly end both do nothing; the wait leaves no zombie.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(script: &str, log: &std::path::Path) -> StartSpec {
        StartSpec {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: Vec::new(),
            data_dir: "/".into(),
            log_file: log.to_owned(),
            run_as: None,
        }
    }

    #[tokio::test]
    async fn there_is_one_at_a_time_and_it_ends_with_its_owner() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let postmaster = ChildPostmaster::new();
        assert_eq!(postmaster.state().await, PostmasterState::Absent);
        let sleeper = spec("exec sleep 100", log.path());
        postmaster.start(&sleeper).await.unwrap();
        let PostmasterState::Running { pid } = postmaster.state().await else { panic!("it runs") };
        let second = postmaster.start(&sleeper).await.unwrap_err();
        assert!(matches!(second, StartError::Running { pid: first } if first == pid), "{second:?}");
        drop(postmaster);
        assert!(!std::path::Path::new("/proc").join(pid.to_string()).exists());
    }

    #[tokio::test]
    async fn one_that_does_not_end_in_time_is_reported() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let postmaster = ChildPostmaster::new();
        postmaster
            .start(&spec("trap '' INT; echo ready; while :; do sleep 0.01; done", log.path()))
            .await
            .unwrap();
        while std::fs::read(log.path()).unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(EXIT_POLL_MS)).await;
        }
        let error = postmaster.stop(ShutdownMode::Fast, Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(error, StopError::Deadline { .. }), "{error:?}");
        postmaster.stop(ShutdownMode::Smart, Duration::from_secs(10)).await.unwrap();
        assert_eq!(postmaster.state().await, PostmasterState::Absent);
    }
}
