use std::sync::Arc;

use sb_pgtypes::{Lineage, Lsn, Position, SystemIdentifier};
use sb_topology::ServerName;
use serde::{Deserialize, Serialize};

use crate::trace::moment;
use crate::{
    AskId, BootTime, ClusterRecord, FailsafeAnswer, FailsafeQuestion, OpId, ProposalId, Rejection, Round,
    Term,
};

/// What a machine is told.
///
/// To ensure correctness, events of one kind come in the order in which things happened, and:
///
/// * an observation or a guard's report that was begun before an operation ended must not come after its `Done`
///   (drop it, another follows);
/// * the `Done` of an operation that `Fence` ended comes before the `Done` of the `Fence`, or never.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Event {
    /// The own replica of the store applied this record. Every applied state, or only the newest of several;
    /// at a start the replayed one. Never an older one after a newer.
    Record(Arc<ClusterRecord>),
    /// A proposal has ended. Every proposal must get exactly one answer, in bounded time.
    ProposalDone {
        /// Which.
        id: ProposalId,
        /// How.
        result: ProposalResult,
    },
    /// PostgreSQL as it is now; on every change, and at least once a second while it runs.
    Postgres(Observation),
    /// An operation has ended. Every operation must get exactly one end, unless it is [`crate::Command::Journal`].
    Done {
        /// Which.
        op: OpId,
        /// How.
        result: Result<OpOutput, OpFailure>,
    },
    /// The guard as it is now; on connecting to it, after every arming and on every change.
    Guard(GuardReport),
    /// The connection to the guard is lost, or the guard does not answer any more: what it holds is not known
    /// until its next report.
    GuardLost,
    /// The holder of a lease asks this server to promise (R10). Answered by [`crate::Command::AnswerFailsafe`].
    FailsafeAsked {
        /// Names the answer.
        ask: AskId,
        /// What is asked. It must come from the server that it names.
        question: FailsafeQuestion,
    },
    /// A member answered a question of this server. Silence and errors are no event.
    FailsafeAnswered {
        /// Of which round.
        round: Round,
        /// Who, proven by its certificate.
        from: ServerName,
        /// What it said.
        answer: FailsafeAnswer,
    },
    /// The time of [`crate::Machine::poll_timeout`] has come. Early or superfluous ones do no harm.
    Timeout,
    /// Whether the disk under the data directory answers has changed; until the first word it does.
    Storage(Storage),
}

/// The disk under the data directory, by a write that is to be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Storage {
    /// It answers, or it says why it does not.
    Answers,
    /// It has said nothing for so long that whoever waits for it had better not wait.
    Hangs,
}

/// How a proposal ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProposalResult {
    /// It is in the log and changed the record.
    Applied,
    /// It is in the log and changed nothing.
    Rejected(Rejection),
    /// Nobody knows: lost, too late, leader changed. It may still be applied (R9).
    Ambiguous,
}

/// What PostgreSQL is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// No postmaster.
    Stopped,
    /// A postmaster that does not answer queries yet.
    Starting,
    /// In recovery.
    Standby,
    /// Not in recovery.
    Primary,
    /// It cannot be said: no answer within the limit.
    Unknown,
}

/// What lies in the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataDirectory {
    /// Nothing, or nothing of PostgreSQL's.
    Absent,
    /// A cluster.
    Present(SystemIdentifier),
}

/// Why a standby will never catch up by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Broken {
    /// Its next segment is nowhere any more.
    WalRemoved,
    /// Its log is not a prefix of its upstream's.
    Diverged,
    /// PostgreSQL does not come up with it, nor ever will.
    CannotStart,
}

/// A standby as the primary sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follower {
    /// Which server.
    pub server: ServerName,
    /// Up to where it has flushed.
    pub flushed: Lsn,
    /// Whether it is in state `streaming` (not `catchup`, `backup` ...).
    pub streaming: bool,
}

/// PostgreSQL at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// What it is doing.
    pub role: Role,
    /// What lies in the data directory.
    pub data: DataDirectory,
    /// The end of its durable log: the flush position of a primary, the larger of received and replayed of a
    /// standby that has replayed its local log. [`None`] when not known.
    pub position: Option<Position>,
    /// The server it receives from now.
    pub streaming_from: Option<ServerName>,
    /// Set when only a repair helps.
    pub broken: Option<Broken>,
    /// Of a primary: its standbys.
    pub followers: Vec<Follower>,
}

/// Whether any process of PostgreSQL exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Processes {
    /// The guard has proved that none is left.
    Gone,
    /// At least one may be.
    Running,
}

/// The deadline that the guard holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Armed {
    /// For which term.
    pub term: Term,
    /// When it kills.
    #[serde(with = "moment")]
    pub fence_at: BootTime,
}

/// The guard at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardReport {
    /// The deadline, if one is armed.
    pub armed: Option<Armed>,
    /// PostgreSQL's processes.
    pub processes: Processes,
}

/// What an operation gives when it succeeds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpOutput {
    /// It is done; there is nothing more to say.
    Nothing,
    /// The end of the durable log: of `Freeze` and `Fetch` the position that no longer moves, of `StopPostgres`
    /// the end of the shutdown checkpoint, of `StartPrimary` the end of recovery.
    At(Position),
    /// Of `Promote`: the lineage after it.
    Promoted(Lineage),
    /// Of `InitDb`: what was made.
    Initialized {
        /// The new cluster's number.
        system_identifier: SystemIdentifier,
        /// Its lineage.
        lineage: Lineage,
    },
    /// Of `SetSyncStandbys` on a primary: every walsender has loaded the setting.
    Effective {
        /// The end of the flushed log, taken after that. The setting counts for what enough standbys have flushed
        /// of it.
        at: Lsn,
    },
}

/// Why an operation did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum OpFailure {
    /// It was tried and failed; the world is as before, or the phase persisted says how to go on.
    #[error("{detail}")]
    Failed {
        /// For the journal.
        detail: String,
    },
    /// It did not end within its limit.
    #[error("no end within its limit")]
    TimedOut,
    /// `Cancel` or `Fence` ended it.
    #[error("cancelled")]
    Cancelled,
}
