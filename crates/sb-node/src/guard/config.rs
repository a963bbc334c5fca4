use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long after `SIGQUIT` every descendant gets `SIGKILL`.
pub const QUIT_TO_KILL_MS: u64 = 200;
/// How long a terminated guard gives PostgreSQL for a fast shutdown.
pub const SHUTDOWN_SECONDS_MAX: u64 = 10;
/// How many clients may be connected at once.
pub const CLIENTS_MAX: usize = 8;

/// What the guard is told on its command line.
#[derive(Debug, Clone)]
pub struct GuardConfig {
    /// Directory of the socket and the lock; it must exist and belong to the guard's user. Best kept
    /// between two starts: what a former guard left is found by it.
    pub run_dir: PathBuf,
    /// A user besides root and the guard's own whose processes may command it.
    pub agent_uid: Option<u32>,
    /// A hardware or software watchdog (`/dev/watchdog`) that resets the machine when even the guard hangs. Its
    /// driver must allow being stopped (`nowayout=0`) and a timeout of one second.
    pub watchdog: Option<PathBuf>,
    /// How a terminated guard's PostgreSQL may take for its fast shutdown, at most.
    pub shutdown_grace: Duration,
}

impl GuardConfig {
    /// The usual guard of a server.
    #[must_use]
    pub fn new(run_dir: impl Into<PathBuf>) -> Self {
        Self {
            run_dir: run_dir.into(),
            agent_uid: None,
            watchdog: None,
            shutdown_grace: Duration::from_secs(SHUTDOWN_SECONDS_MAX),
        }
    }

    /// Where clients connect.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket_path(&self.run_dir)
    }
}

/// The guard's socket in a run directory.
#[must_use]
pub fn socket_path(run_dir: &Path) -> PathBuf {
    run_dir.join("guard.sock")
}

/// The guard could not begin, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// Another guard holds the run directory.
    #[error("another guard is running in `{}`", run_dir.display())]
    AlreadyRunning {
        /// Where.
        run_dir: PathBuf,
    },
    /// Its socket or lock could not be made.
    #[error("could not prepare `{}`", path.display())]
    RunDir {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel refused something the guard cannot do without.
    #[error("could not {action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The fence was tried on a process of its own, and it lived.
    #[error("the fence was tried and did not end the process it was tried on")]
    RehearsalFailed,
}

/// Why the guard ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardExit {
    /// It was terminated, and nothing is left of PostgreSQL.
    Terminated,
}
