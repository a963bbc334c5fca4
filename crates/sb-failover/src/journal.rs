use std::collections::BTreeSet;

use sb_pgtypes::{Lineage, Position};
use sb_topology::ServerName;
use serde::{Deserialize, Serialize};

use crate::record::Durability;
use crate::{FailsafeRefusal, Judgement, PaceReason, Rejection, Seq, State, Term, Trigger};

/// Something that people may want to know later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JournalEntry {
    /// The machine went from one state to another.
    Moved {
        /// From.
        from: State,
        /// Why.
        trigger: Trigger,
        /// To.
        to: State,
    },
    /// The primary's renewals have stopped, or it gave its lease back.
    Detected {
        /// The holder.
        holder: ServerName,
        /// Its term.
        term: Term,
        /// The last renewal seen.
        seq: Seq,
    },
    /// This standby takes nothing more from the primary.
    Frozen {
        /// Of the lease it promised against.
        term: Term,
        /// Where it stands.
        position: Position,
    },
    /// This server fetches what another has and it lacks.
    Fetching {
        /// The other.
        source: ServerName,
        /// What it has.
        until: Position,
    },
    /// This server holds the lease of a new term.
    Elected {
        /// The new term.
        term: Term,
        /// Who held the lease before.
        from: ServerName,
    },
    /// This server is primary.
    Promoted {
        /// Its term.
        term: Term,
        /// Its lineage.
        lineage: Lineage,
    },
    /// Clients may come.
    Open {
        /// The term.
        term: Term,
    },
    /// PostgreSQL ended without having been asked to.
    PostgresGone {
        /// The term it was primary in.
        term: Term,
    },
    /// Proven: no process of PostgreSQL is left.
    Fenced {
        /// The term it was primary in.
        term: Term,
    },
    /// The lease was given back.
    Released {
        /// The term.
        term: Term,
        /// For whom.
        to: Option<ServerName>,
    },
    /// This server follows another.
    Following {
        /// The primary.
        upstream: ServerName,
        /// Its term.
        term: Term,
    },
    /// This server's copy is made anew.
    Repairing {
        /// From.
        source: ServerName,
    },
    /// A planned hand-over begins.
    Draining {
        /// To.
        to: ServerName,
    },
    /// Nobody may take over, and why.
    Refused {
        /// The reason, for people.
        reason: String,
    },
    /// The store did not take a proposal.
    Rejected {
        /// Why.
        reason: Rejection,
    },
    /// The store does not answer, and every promotable member has promised not to take over: the holder goes on.
    FailsafeHolds {
        /// Its term.
        term: Term,
    },
    /// A member did not promise.
    FailsafeRefused {
        /// Which.
        by: ServerName,
        /// Why.
        reason: FailsafeRefusal,
    },
    /// A renewal has counted again.
    FailsafeEnded {
        /// The holder's term.
        term: Term,
    },
    /// The holder has chosen another length for its lease.
    LeaseLength {
        /// The length before, in milliseconds.
        before_ms: u64,
        /// The length now.
        ttl_ms: u64,
        /// Why.
        why: PaceReason,
    },
    /// An operation failed and is tried again.
    OperationFailed {
        /// Which, as `Command` names it.
        operation: String,
        /// What was wrong.
        detail: String,
    },
    /// The record says that commits wait for nobody, because too few have answered.
    FellBack {
        /// Under whose primaryship.
        term: Term,
        /// Who has not answered.
        silent: BTreeSet<ServerName>,
    },
    /// The record says that commits wait for others, after none or another promise.
    SetFormed {
        /// Under whose primaryship.
        term: Term,
        /// For how many.
        number: usize,
        /// Of these.
        voters: BTreeSet<ServerName>,
    },
    /// A person changed what a commit shall wait for.
    PromiseChanged {
        /// The promise asked for.
        wanted: Durability,
        /// n.
        number: usize,
    },
    /// How this server judges the succession of the lease that has ended.
    Judged(Box<Judgement>),
    /// Clients are about to be let in: from here on one may write, also if this server learns of it later.
    Opening {
        /// The term.
        term: Term,
    },
    /// This server's right to write has run out: the guard's deadline came before a renewal.
    DeadlinePassed {
        /// The term it was primary in.
        term: Term,
        /// How long ago, in milliseconds.
        ago_ms: u64,
        /// How much later than the deadline the lease itself ends, in milliseconds.
        lead_ms: u64,
    },
    /// This server asks for the lease.
    Claiming {
        /// The term that would begin.
        term: Term,
        /// Where it stands.
        own: Position,
        /// What the holder told with its last renewal.
        told: Option<Position>,
        /// How many bytes of that this server lacks; [`None`] when they are on different lines, or nothing was told.
        missing_bytes: Option<u64>,
        /// Since when the lease has not moved, as this server saw it, in milliseconds.
        silent_ms: u64,
    },
}
