use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::RunAs;

/// Everything that is needed to start a postmaster; made only by [`crate::Instance::prepare_start`], which has checked and
/// written the data directory's files for exactly this start. Use it once, at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartSpec {
    /// `postgres`.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// The whole environment: nothing is inherited.
    pub env: Vec<(String, String)>,
    /// The data directory, also the working directory.
    pub data_dir: PathBuf,
    /// Where standard output and error go until PostgreSQL's own log is open (appended).
    pub log_file: PathBuf,
    /// The user to become; [`None`] means no change.
    pub run_as: Option<RunAs>,
}

/// How a postmaster ends (manual, section 19.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShutdownMode {
    /// SIGTERM: waits for every client.
    Smart,
    /// SIGINT: rolls back, writes the shutdown checkpoint, lets standbys have it.
    Fast,
    /// SIGQUIT: ends at once; the next start recovers from WAL.
    Immediate,
}

/// What is known of the postmaster's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PostmasterState {
    /// None was started, or its end has been seen and taken.
    Absent,
    /// It lives.
    Running {
        /// Process id.
        pid: u32,
    },
    /// It has ended without being told to.
    Exited {
        /// Its exit status or signal in words.
        how: String,
    },
}

/// No postmaster was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// One is there already.
    #[error("cannot start PostgreSQL: process {pid} is still running")]
    Running {
        /// Its process id.
        pid: u32,
    },
    /// The system refused.
    #[error("could not start `{}`", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The embedder's own reason, such as a guard that cannot be reached. Whether it was started is unknown.
    #[error("could not start PostgreSQL: {detail}")]
    Other {
        /// In words.
        detail: String,
    },
}

/// The postmaster is not known to have ended.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// It lives on.
    #[error("PostgreSQL (process {pid}) did not end within {within:?}")]
    Deadline {
        /// Its process id.
        pid: u32,
        /// The limit.
        within: Duration,
    },
    /// The embedder's own reason. Whether it ended is unknown.
    #[error("could not stop PostgreSQL: {detail}")]
    Other {
        /// In words.
        detail: String,
    },
}

/// Starts and ends one postmaster.
///
/// # To ensure correctness
///
/// * `start` changes user as [`StartSpec::run_as`] says, clears the environment, and returns once the process exists (not
///   once it accepts sessions: [`crate::Instance::wait_ready`]).
/// * There is never more than one postmaster; `start` refuses while one runs.
/// * `stop` returns `Ok` only after the postmaster has ended; also when there was none.
/// * The postmaster does not outlive the implementor.
#[async_trait]
pub trait Postmaster: Send + Sync {
    /// Starts it.
    ///
    /// # Errors
    /// When one runs already or the system refuses.
    async fn start(&self, spec: &StartSpec) -> Result<(), StartError>;

    /// Tells it to end, and waits at most `within`.
    ///
    /// # Errors
    /// When it is not known to have ended in time.
    async fn stop(&self, mode: ShutdownMode, within: Duration) -> Result<(), StopError>;

    /// What is known of it now.
    async fn state(&self) -> PostmasterState;
}
