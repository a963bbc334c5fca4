//! What must always hold: one file each.

pub mod fenced_before_promote;
pub mod no_lost_acknowledged_commit;
pub mod no_torn_start;
pub mod one_writer;
pub mod progress_when_faults_stop;
pub mod term_monotonic;

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
    /// The record changed.
    Committed,
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
        Box::new(progress_when_faults_stop::ProgressWhenFaultsStop),
    ]
}
