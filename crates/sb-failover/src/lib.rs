//! Who may write, and who takes over when that server is lost.
//!
//! Two pure things, to be driven by an agent:
//!
//! * the **record** ([`ClusterRecord`]): what all servers agree on, kept by a replicated log whose entries are
//!   [`Request`]s and whose only rule is [`ClusterRecord::apply`];
//! * the **machine** ([`Machine`]): one per server, fed with [`Event`]s and the time, polled for [`Command`]s.
//!
//! Nothing here opens a socket, reads a clock, draws a random number, logs or waits. The rules R1–R11 and
//! L1–L5 that comments name are those of `ARCHITECTURE.md`.

mod boot_time;
mod command;
mod elect;
mod event;
mod failsafe;
mod ids;
mod journal;
mod judge;
mod machine;
#[cfg(not(feature = "mutants"))]
mod mutant;
#[cfg(feature = "mutants")]
#[doc(hidden)]
pub mod mutant;
mod phase;
pub mod record;
pub mod resolver;
mod table;
mod timings;
pub mod trace;

pub use boot_time::BootTime;
pub use command::{Command, RepairReason, SyncStandbys};
pub use elect::{Election, Ranked, at_risk, elect, loss_if_named};
pub use event::{
    Armed, Broken, DataDirectory, Event, Follower, GuardReport, Observation, OpFailure, OpOutput, Processes,
    ProposalResult, Role, Storage,
};
pub use failsafe::{FailsafeAnswer, FailsafePromise, FailsafeQuestion, FailsafeRefusal};
pub use ids::{AskId, Incarnation, OpId, ProposalId, RenewalNumber, Round, Seq, Session, Term};
pub use journal::JournalEntry;
pub use judge::{Candidate, Judgement, judge};
pub use machine::{
    Config, Explanation, FailsafePart, Founding, Gate, Machine, PaceReason, ParkReason, State,
};
pub use phase::{Persisted, Phase, Promise};
pub use record::{ClusterRecord, Outcome, Rejection, Request};
pub use table::{Row, TABLE, Trigger, mermaid};
pub use timings::{Failsafe, Timings, TimingsError};
