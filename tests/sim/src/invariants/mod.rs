//! What must always hold: one file each.

mod failsafe_promise_is_kept;
mod fenced_before_promote;
mod guard_is_armed;
mod lineage_never_forks_silently;
mod loss_is_bounded;
mod no_flapping;
mod no_lost_acknowledged_commit;
mod no_torn_start;
mod one_writer;
mod progress_when_faults_stop;
mod promises_are_kept;
mod quorum_intersects;
mod record_is_true;
mod takeover_has_everything;
mod term_monotonic;

use sb_failover::Term;

use crate::world::World;

/// What invariants look at.
#[derive(Clone, Copy, Debug)]
pub enum Happening {
    /// A client saw its commit confirmed.
    Acknowledged { server: usize, term: Term },
    /// PostgreSQL is out of recovery.
    BecamePrimary { server: usize, term: Term },
    /// PostgreSQL was started on a half-made copy.
    StartedTorn { server: usize },
    /// A standby has taken what its upstream sent.
    Streamed { standby: usize, upstream: usize },
    /// A request was carried out for the first time anywhere; the record has gone through this many.
    Committed { step: usize },
    /// A holder has proposed to renew its lease.
    Renews { server: usize, term: Term },
    /// A member said yes to the holder of `term`, for `ttl_ms` by its own clock.
    PromisedHolder { server: usize, term: Term, ttl_ms: u64 },
    /// A server's directories are lost.
    Left { server: usize },
    /// A primary waits for other standbys than before.
    SettingChanged,
    /// A primary lets clients in.
    Opened { server: usize, term: Term },
    /// The calm after the faults is over.
    End,
}

pub trait Invariant {
    fn name(&self) -> &'static str;

    /// Whether it holds after `happening`.
    fn see(&mut self, world: &World, happening: &Happening) -> Result<(), String>;
}

pub fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(one_writer::OneWriter::default()),
        Box::new(fenced_before_promote::FencedBeforePromote),
        Box::new(term_monotonic::TermMonotonic::default()),
        Box::new(no_lost_acknowledged_commit::NoLostAcknowledgedCommit),
        Box::new(no_torn_start::NoTornStart),
        Box::new(quorum_intersects::QuorumIntersects),
        Box::new(record_is_true::RecordIsTrue),
        Box::new(promises_are_kept::PromisesAreKept),
        Box::new(takeover_has_everything::TakeoverHasEverything::default()),
        Box::new(loss_is_bounded::LossIsBounded),
        Box::new(lineage_never_forks_silently::LineageNeverForksSilently),
        Box::new(guard_is_armed::GuardIsArmed),
        Box::new(failsafe_promise_is_kept::FailsafePromiseIsKept::default()),
        Box::new(no_flapping::NoFlapping::default()),
        Box::new(progress_when_faults_stop::ProgressWhenFaultsStop),
    ]
}
