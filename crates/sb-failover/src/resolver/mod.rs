//! How the synchronous set changes: from what is on record and what PostgreSQL waits for, one next step (R6).
//!
//! The rules and their reasons are in `docs/adr/2026-11-23-synchronous-quorum.md`. In short: every group that can
//! confirm a commit (k of PostgreSQL's set S) meets every group that can elect (q + 1 of the voters V on record), in
//! every mixture of an old set with a new record. So what makes groups larger goes first, and what makes them
//! smaller follows when it is effective.
//!
//! [`next`] is total: no state panics, and one that the rules do not lead to is repaired or refused in words. It
//! reads no clock, keeps no memory, and does nothing itself.

mod form;
mod membership;
mod situation;
mod step;
mod tend;

pub use membership::{Candidate, Presence, members};
pub use situation::{InForce, Late, Owner, Patience, Recorded, Situation, Standbys, Unsound};
pub use step::{Change, Rest, Step, Why};

use crate::record::Durability;

/// The next step of the primary `situation.me`.
///
/// To ensure correctness, take one step at a time: carry it out, read the record and PostgreSQL again, ask again.
/// After a step at PostgreSQL that did not certainly succeed, its setting is unknown ([`Situation::postgres`] is
/// [`None`]). After a change of the record whose answer is not known, that change is late ([`Late::Possible`])
/// until the record's version has moved.
#[must_use]
pub fn next<N: Ord + Clone>(situation: &Situation<'_, N>) -> Step<N> {
    let record = &situation.record;
    let asynchronous = record.durability == Durability::Async;
    let step = if asynchronous && !record.wanted.is_synchronous() {
        form::relax(situation)
    } else if asynchronous || record.degraded || record.owner == Owner::Former || situation.nobody_votes() {
        form::form(situation)
    } else {
        tend::tend(situation)
    };
    void_first(situation, step)
}

/// Nothing at PostgreSQL is loosened while a change of the record may still come that was made for it as it is.
fn void_first<N: Ord + Clone>(situation: &Situation<'_, N>, step: Step<N>) -> Step<N> {
    match &step {
        Step::Postgres { number, names, .. }
            if situation.late == Late::Possible && situation.loosens(*number, names) =>
        {
            Step::Record { change: Change::Void, why: Why::Voids }
        }
        Step::Postgres { .. } | Step::Record { .. } | Step::Rest(_) => step,
    }
}
