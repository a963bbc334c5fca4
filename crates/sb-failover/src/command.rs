use std::collections::BTreeSet;
use std::time::Duration;

use sb_pgtypes::{Position, TimelineId};
use sb_topology::ServerName;
use serde::{Deserialize, Serialize};

use crate::trace::moment;
use crate::{
    AskId, BootTime, FailsafeAnswer, FailsafePromise, FailsafeQuestion, JournalEntry, OpId, Phase, Promise,
    ProposalId, Request, Round, Term,
};

/// `synchronous_standby_names`: a commit waits for `number` of `names`; with no names it waits for nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncStandbys {
    /// n of `ANY n (S)`.
    pub number: usize,
    /// S.
    pub names: BTreeSet<ServerName>,
}

/// Why a copy has to be made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RepairReason {
    /// There is no copy.
    NoData,
    /// It has log that the cluster left behind: keep that, then rewind.
    Diverged,
    /// The log it needs next is gone.
    WalRemoved,
    /// A repair was interrupted.
    Unfinished,
    /// PostgreSQL does not come up with it: rewind if that helps, else copy anew.
    CannotStart,
}

/// What a machine wants done.
///
/// At most one command with an `op` is under way at a time, except that [`Command::Fence`],
/// [`Command::StoreFailsafe`] and [`Command::Cancel`] come at any moment. These, `ArmGuard`, `Disarm` and the
/// failsafe's questions and answers must not wait behind anything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Put `request` to the store; answer with `ProposalDone`.
    Propose {
        /// Names the answer.
        id: ProposalId,
        /// What to propose.
        request: Request,
    },
    /// Let the guard kill PostgreSQL at `fence_at`, on CLOCK_BOOTTIME. Replaces the deadline it holds, earlier
    /// or later; refused by the guard for a lower term than it has seen. Answer with `Guard`.
    ArmGuard {
        /// The term the deadline belongs to.
        term: Term,
        /// When to kill.
        #[serde(with = "moment")]
        fence_at: BootTime,
    },
    /// The deadline of `term` no longer counts: PostgreSQL is proven gone or is a standby. Answer with `Guard`.
    Disarm {
        /// The term the deadline belonged to.
        term: Term,
    },
    /// Kill every process of PostgreSQL now and prove that none is left. Ends every other operation.
    Fence {
        /// Names its end; a success is the proof.
        op: OpId,
    },
    /// Start PostgreSQL read-write through the guard, which must hold a deadline of `term` in the future; a
    /// running standby is stopped first. Clients stay out (`pg_hba`) until `OpenClients`. Ends with `At`.
    StartPrimary {
        /// Names its end.
        op: OpId,
        /// The term it may write in.
        term: Term,
        /// In force from the first moment.
        sync: SyncStandbys,
    },
    /// Write `standby.signal`, then start PostgreSQL, receiving from `upstream` or from nobody. If it is already
    /// running in recovery this is `Follow`.
    StartStandby {
        /// Names its end.
        op: OpId,
        /// From whom to receive.
        upstream: Option<ServerName>,
    },
    /// Checkpoint, then fast shutdown within `limit`. Ends with `At`: the end of the shutdown checkpoint.
    StopPostgres {
        /// Names its end.
        op: OpId,
        /// How long it may take.
        limit: Duration,
    },
    /// Let the running standby receive from `upstream` or from nobody.
    Follow {
        /// Names its end.
        op: OpId,
        /// From whom to receive.
        upstream: Option<ServerName>,
    },
    /// Make the promise durable.
    StorePromise {
        /// Names its end.
        op: OpId,
        /// The promise; replaces the one before.
        promise: Promise,
    },
    /// Make the phase durable.
    Persist {
        /// Names its end.
        op: OpId,
        /// The phase; replaces the one before.
        phase: Phase,
    },
    /// Stop receiving, wait until the receiver is gone. Ends with `At`: the position that no longer moves.
    Freeze {
        /// Names its end.
        op: OpId,
    },
    /// Receive from `source` until the own log contains `until`, then freeze again. Ends with `At`.
    Fetch {
        /// Names its end.
        op: OpId,
        /// A frozen server that has more.
        source: ServerName,
        /// What it has.
        until: Position,
        /// How long it may take.
        limit: Duration,
    },
    /// Promote the running standby; clients stay out until `OpenClients`. Ends with `Promoted`.
    Promote {
        /// Names its end.
        op: OpId,
        /// The term it may write in.
        term: Term,
        /// The number to take; it fails where PostgreSQL takes another.
        timeline: TimelineId,
        /// How long it may take.
        limit: Duration,
    },
    /// Let clients in. Does nothing when they are.
    OpenClients {
        /// Names its end.
        op: OpId,
        /// The term it may write in.
        term: Term,
    },
    /// Set `synchronous_standby_names`. On a primary it ends with `Effective`, when a new session sees the setting and
    /// every walsender has loaded it (R6), whoever of `names` is there; on a standby when a new session sees it.
    SetSyncStandbys {
        /// Names its end.
        op: OpId,
        /// The setting.
        sync: SyncStandbys,
    },
    /// Make the data directory a copy that can follow `source`: rewind, else clone (R8). Leaves PostgreSQL
    /// stopped. Ends with `At`: where the primary's log ended when the copy was begun. The server is no candidate
    /// before its own log contains that.
    Repair {
        /// Names its end.
        op: OpId,
        /// The primary.
        source: ServerName,
        /// Why.
        reason: RepairReason,
    },
    /// Make a new cluster in an empty or unfinished data directory. Leaves PostgreSQL stopped. Ends with
    /// `Initialized`.
    InitDb {
        /// Names its end.
        op: OpId,
    },
    /// Give up the operation `op`; it still ends, with whatever became of it.
    Cancel {
        /// Which.
        op: OpId,
    },
    /// For people: history, display, notifications. Needs no answer.
    Journal(JournalEntry),
    /// Ask each of `members` over a channel of its own, not through the store; tell each answer with
    /// `FailsafeAnswered`. Does not wait for an earlier round, nor behind anything.
    AskFailsafe {
        /// Names the round.
        round: Round,
        /// Whom to ask: everybody.
        members: BTreeSet<ServerName>,
        /// What.
        question: FailsafeQuestion,
    },
    /// Answer the question `ask`.
    AnswerFailsafe {
        /// Which.
        ask: AskId,
        /// What to say.
        answer: FailsafeAnswer,
    },
    /// Make the promise to a holder durable. Goes beside other operations and must not wait behind them.
    StoreFailsafe {
        /// Names its end.
        op: OpId,
        /// The promise; replaces the one before.
        promise: FailsafePromise,
    },
}

impl Command {
    /// What kind of command it is, for the journal.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Command::Propose { .. } => "Propose",
            Command::ArmGuard { .. } => "ArmGuard",
            Command::Disarm { .. } => "Disarm",
            Command::Fence { .. } => "Fence",
            Command::StartPrimary { .. } => "StartPrimary",
            Command::StartStandby { .. } => "StartStandby",
            Command::StopPostgres { .. } => "StopPostgres",
            Command::Follow { .. } => "Follow",
            Command::StorePromise { .. } => "StorePromise",
            Command::Persist { .. } => "Persist",
            Command::Freeze { .. } => "Freeze",
            Command::Fetch { .. } => "Fetch",
            Command::Promote { .. } => "Promote",
            Command::OpenClients { .. } => "OpenClients",
            Command::SetSyncStandbys { .. } => "SetSyncStandbys",
            Command::Repair { .. } => "Repair",
            Command::InitDb { .. } => "InitDb",
            Command::Cancel { .. } => "Cancel",
            Command::Journal(_) => "Journal",
            Command::AskFailsafe { .. } => "AskFailsafe",
            Command::AnswerFailsafe { .. } => "AnswerFailsafe",
            Command::StoreFailsafe { .. } => "StoreFailsafe",
        }
    }

    /// The operation whose end is to be reported, if the command is one.
    #[must_use]
    pub const fn op(&self) -> Option<OpId> {
        match self {
            Command::Fence { op }
            | Command::StartPrimary { op, .. }
            | Command::StartStandby { op, .. }
            | Command::StopPostgres { op, .. }
            | Command::Follow { op, .. }
            | Command::StorePromise { op, .. }
            | Command::Persist { op, .. }
            | Command::Freeze { op }
            | Command::Fetch { op, .. }
            | Command::Promote { op, .. }
            | Command::OpenClients { op, .. }
            | Command::SetSyncStandbys { op, .. }
            | Command::Repair { op, .. }
            | Command::InitDb { op }
            | Command::StoreFailsafe { op, .. } => Some(*op),
            Command::Propose { .. }
            | Command::ArmGuard { .. }
            | Command::Disarm { .. }
            | Command::Cancel { .. }
            | Command::Journal(_)
            | Command::AskFailsafe { .. }
            | Command::AnswerFailsafe { .. } => None,
        }
    }
}
