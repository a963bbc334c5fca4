//! The guard: the postmaster's parent, which knows one deadline and kills when it passes.
//!
//! A server may accept writes only while it holds the lease of the newest term. The agent knows the lease, but an
//! agent may hang, be stopped or die. The guard is a process of its own that needs nothing from it: it holds the
//! deadline in a timer on `CLOCK_BOOTTIME`, is the parent and child subreaper of everything PostgreSQL forks, and
//! at the deadline sends `SIGQUIT`, [`QUIT_TO_KILL_MS`] later `SIGKILL`, until nothing is left.
//!
//! * The guard is single-threaded, locked in memory and, when permitted, of real-time priority. From the deadline
//!   to the proof it allocates nothing, reads nothing from a disk and waits for nobody.
//! * The proof that nothing is left is the kernel's word: a subreaper without children (`ECHILD`) has no descendants.
//! * When the guard itself dies, the kernel sends the postmaster `SIGQUIT` (`PR_SET_PDEATHSIG`).
//! * Everything it knows is in its memory. After a restart of the guard `highest_term` starts anew; the agent's
//!   persisted promise and phase are what keeps older terms out then.
//!
//! [`run`] is the process; [`GuardClient`] is the agent's end. In the life of a lease the agent
//!
//! 1. arms the guard with the lease's term, the deadline being the lease's end less the time a fence takes;
//! 2. starts PostgreSQL as writable in that term, or announces the promotion of a standby and waits for the answer
//!    before it tells PostgreSQL;
//! 3. arms again at every renewal it saw applied, and before it proposes a shorter one;
//! 4. stops PostgreSQL or has everything killed, and disarms when nothing is left.
//!
//! A deadline that passes over a standby ends it as well: the guard does not know whether it was promoted
//! in silence. Disarm what is not going to be promoted.
//!
//! What it cannot do: act while it is itself stopped or the kernel hangs. For that there are the
//! [kernel's fence](crate::fence) and the watchdog. Without a control group and with `/proc` mounted so
//! that it hides other users' processes, it ends the postmaster but finds no backend that outlives it.

mod alarm;
mod cgroup;
mod client;
mod clients;
mod clock;
mod config;
mod descendants;
mod ending;
mod launch;
mod launch_report;
mod ledger;
mod leftovers;
mod log;
mod messages;
mod privileges;
mod process;
mod reaper;
mod requests;
mod watchdog;
mod wire;

pub use client::{ConnectLimits, GuardClient, GuardClientError, GuardEvents, GuardNotice};
pub use clock::BootNanos;
pub use config::{
    CLIENTS_MAX, GuardConfig, GuardError, GuardExit, QUIT_TO_KILL_MS, SHUTDOWN_SECONDS_MAX, socket_path,
};
pub use messages::{
    Armed, Degradation, Fallen, GuardEvent, GuardReply, GuardRequest, GuardStatus, Postmaster,
    PostmasterExit, Proof, Refusal, Role, RunAs, StartSpec, StopMode, Term,
};

/// Runs the guard in this process until it is terminated.
///
/// Call it from `main`, before any thread exists. Every child that the process already has is taken for a descendant
/// of PostgreSQL, and killed.
///
/// # Errors
///
/// [`GuardError`] when it cannot begin. Once it has begun it goes on until `SIGTERM`.
pub fn run(config: GuardConfig) -> Result<GuardExit, GuardError> {
    process::Guard::begin(&config).map(|mut guard| guard.serve())
}
