use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::clock::BootNanos;

/// The number of a primaryship, as the store hands it out. The guard only compares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Term(u64);

impl Term {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl From<u64> for Term {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an agent asks of the guard. Each request is one datagram and gets exactly one [`GuardReply`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuardRequest {
    /// How things stand; changes nothing.
    Status,
    /// Start PostgreSQL. Answered when the program runs, or with why it does not.
    Start(StartSpec),
    /// Set, raise or lower the deadline. What is below a term already seen is refused.
    Arm {
        /// The term of the lease that the deadline belongs to.
        term: Term,
        /// When every backend has to be killed, if nothing newer arrives.
        fence_at: BootNanos,
    },
    /// The standby is about to be promoted: from here on it counts as writable. To be answered before
    /// PostgreSQL is told.
    Promoting {
        /// The armed term it will be primary in.
        term: Term,
    },
    /// Take the deadline away. Refused while something that may write is alive.
    Disarm {
        /// The term it was armed for.
        term: Term,
    },
    /// Signal the postmaster. Answered at once; the exit comes as [`GuardEvent::PostmasterExited`].
    Stop {
        /// How it treats its sessions.
        mode: StopMode,
    },
    /// Kill every descendant and answer with the proof. Leaves the deadline as it is.
    KillAll,
}

/// A program to run as the postmaster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartSpec {
    /// Absolute path of `postgres`.
    pub program: PathBuf,
    /// Arguments after the program's name.
    pub args: Vec<String>,
    /// The whole environment; nothing is inherited.
    pub env: Vec<(String, String)>,
    /// The data directory: working directory of every backend, by which backends of a former life are found.
    /// A standby's must hold `standby.signal`.
    pub data_dir: PathBuf,
    /// Where standard output and standard error are appended, opened as the user of `run_as`; nowhere if absent.
    pub log_file: Option<PathBuf>,
    /// Who it runs as; the guard's own user if absent.
    pub run_as: Option<RunAs>,
    /// What it may do.
    pub role: Role,
}

/// The identity of the postmaster. Capabilities are dropped in any case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunAs {
    /// Real, effective and saved user.
    pub uid: u32,
    /// Real, effective and saved group.
    pub gid: u32,
    /// Supplementary groups (Debian's `ssl-cert`, for one); at most [`RunAs::GROUPS_MAX`].
    pub groups: Vec<u32>,
}

impl RunAs {
    /// How many supplementary groups a start may name.
    pub const GROUPS_MAX: usize = 64;

    /// A user of this system with all its groups; `None` when there is no such user.
    ///
    /// Asks the system's name service, which may be slow: for agents, never for the guard.
    #[must_use]
    pub fn of_user(name: &str) -> Option<Self> {
        let user = nix::unistd::User::from_name(name).ok()??;
        let c_name = std::ffi::CString::new(name).ok()?;
        let groups = nix::unistd::getgrouplist(&c_name, user.gid).ok()?;
        let groups = groups.iter().take(Self::GROUPS_MAX).map(|group| group.as_raw()).collect();
        Some(Self { uid: user.uid.as_raw(), gid: user.gid.as_raw(), groups })
    }
}

/// What a postmaster may do, by the way it was started and by [`GuardRequest::Promoting`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Accepts writes under this term's lease.
    Writable {
        /// The term.
        term: Term,
    },
    /// Follows, and cannot accept writes without being promoted.
    Standby,
}

/// PostgreSQL's three ways to shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopMode {
    /// Waits for the sessions to end (`SIGTERM`).
    Smart,
    /// Ends the sessions, writes a checkpoint (`SIGINT`).
    Fast,
    /// Ends at once, recovers at the next start (`SIGQUIT`).
    Immediate,
}

/// The guard's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuardReply {
    /// To [`GuardRequest::Status`].
    Status(GuardStatus),
    /// To [`GuardRequest::Start`]: the program runs.
    Started {
        /// The postmaster.
        pid: u32,
        /// How many processes of a former life in the same data directory were killed first, at least: some end by
        /// themselves when their postmaster does.
        leftovers_killed: u32,
    },
    /// To [`GuardRequest::KillAll`]: nothing is left.
    Proof(Proof),
    /// To everything else: it is so.
    Done,
    /// It was not done.
    Refused(Refusal),
}

/// Every process that ever descended from the guard is dead and reaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Always zero: a proof is not given before.
    pub descendants: u32,
    /// From the request to the last one reaped.
    pub took_ms: u32,
}

/// Why the guard did not do it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// A newer term was seen.
    #[error("term {asked} is older than term {highest}, which the guard has seen")]
    StaleTerm {
        /// The request's.
        asked: Term,
        /// The newest one seen.
        highest: Term,
    },
    /// The deadline named, or the one armed, has passed.
    #[error("the deadline of term {term} has passed")]
    DeadlinePassed {
        /// Its term.
        term: Term,
    },
    /// The fence is falling: nothing may start or be extended until nothing is left alive.
    #[error("every backend is being killed")]
    Fencing,
    /// Writing needs a deadline of that very term.
    #[error("the guard is not armed for term {asked}")]
    NotArmed {
        /// The request's.
        asked: Term,
        /// What is armed instead.
        armed: Option<Term>,
    },
    /// PostgreSQL accepts, or may accept, writes under another lease.
    #[error("PostgreSQL may write under term {term}")]
    Writable {
        /// The term it was started or promoted in.
        term: Term,
    },
    /// There is a postmaster already, or descendants of one.
    #[error("a postmaster or its descendants are still alive")]
    Alive,
    /// There is no postmaster, or none that could do this.
    #[error("no postmaster is running")]
    NotRunning,
    /// The guard is shutting down.
    #[error("the guard is shutting down")]
    Terminating,
    /// A value of the request that cannot be used.
    #[error("{what} cannot be used")]
    Invalid {
        /// Which.
        what: String,
    },
    /// The program did not come to run.
    #[error("could not start PostgreSQL: {step}: {reason}")]
    StartFailed {
        /// What was being done.
        step: String,
        /// The system's word for it.
        reason: String,
    },
}

/// The guard's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardStatus {
    /// The guard's process.
    pub guard_pid: u32,
    /// PostgreSQL.
    pub postmaster: Postmaster,
    /// What it may do; `None` when there is none.
    pub role: Option<Role>,
    /// The deadline.
    pub armed: Option<Armed>,
    /// The term whose fence fell last, until another one is armed.
    pub fenced: Option<Term>,
    /// The newest term seen by this guard process. Not persisted: the agent's own phase is.
    pub highest_term: Option<Term>,
    /// Living descendants, PostgreSQL's backends among them.
    pub descendants: u32,
    /// How often a deadline passed since the guard started.
    pub fences: u64,
    /// What this guard can do without, but was not permitted to have.
    pub degraded: Vec<Degradation>,
    /// The fence that fell last, until another deadline is armed; also for an agent that was away then.
    pub fallen: Option<Fallen>,
}

/// A deadline that passed, and what it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallen {
    /// The lease's term.
    pub term: Term,
    /// The deadline.
    pub deadline: BootNanos,
    /// When it was proven that nothing is left.
    pub gone_at: BootNanos,
}

/// The postmaster's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Postmaster {
    /// None, and nothing left of one.
    Absent,
    /// Forked; the program does not run yet.
    Starting {
        /// Its process.
        pid: u32,
    },
    /// It runs.
    Running {
        /// Its process.
        pid: u32,
    },
    /// It is being killed, or is gone and its last descendants are.
    Ending,
}

/// A deadline that is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Armed {
    /// The lease's term.
    pub term: Term,
    /// When every backend is killed.
    pub fence_at: BootNanos,
}

/// A protection that the system did not grant. The guard works without, with less margin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Degradation {
    /// Memory could not be locked: the guard may be swapped out (`CAP_IPC_LOCK`).
    MemoryNotLocked,
    /// No real-time priority: the guard may wait for a processor (`CAP_SYS_NICE`).
    NoRealTimePriority,
    /// The kernel may choose the guard when memory runs out (`CAP_SYS_RESOURCE`).
    OomKillable,
    /// No cgroup v2 of its own: descendants are found by walking `/proc`.
    NoCgroup,
    /// A watchdog was configured and could not be used.
    NoWatchdog,
}

/// What the guard tells every connected client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuardEvent {
    /// The postmaster ended, for whatever reason, and nothing of it is left.
    PostmasterExited {
        /// How it ended.
        status: PostmasterExit,
        /// Descendants that outlived it and were killed.
        stragglers_killed: u32,
    },
    /// The deadline passed, and nothing is left. If a postmaster ran, its [`GuardEvent::PostmasterExited`] came just
    /// before.
    Fenced {
        /// The term that was armed.
        term: Term,
        /// Processes that were alive right after `SIGQUIT` was sent.
        killed: u32,
        /// From the deadline to the last process reaped.
        took_ms: u32,
    },
}

/// How a postmaster ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PostmasterExit {
    /// With this status; 0 after a clean shutdown.
    Code(i32),
    /// By this signal.
    Signal(i32),
}
