//! Whole clusters in one thread, and exactly repeatable: the failover machine and the Raft core that run in
//! production, on models of PostgreSQL, guard, disk, clock and network, under faults, with clients that remember.
//!
//! A schedule follows from its seed alone: first a cluster is made, then things go wrong, then nothing does any more
//! and the cluster has to become whole again.
#![allow(clippy::cast_possible_truncation, reason = "indexes of a few servers")]

mod campaign;
mod invariants;
mod model;
mod mutants;
mod profile;
mod results;
mod rng;
mod server;
mod tally;
mod world;

pub use campaign::{Campaign, Failure, Report};
pub use mutants::{Case, MUTANTS, MUTANTS_FROM, NOT_CAUGHT};
pub use profile::{PROFILES, Profile, Shape, Wire};
pub use results::{Results, Stretch};
pub use tally::Tally;
pub use world::Violation;

/// Names the source of the machine, the store and this simulation: schedules of one source can be added up.
pub const SOURCE: &str = env!("SB_SIM_SOURCE");

/// What came of one schedule.
#[derive(Debug)]
pub struct Outcome {
    /// The first rule that was broken.
    pub violation: Option<Violation>,
    /// What happened how often.
    pub tally: Tally,
    /// How many things happened.
    pub events: u64,
    /// A hash over all of them, in order.
    pub hash: u64,
    /// How many commits clients saw confirmed.
    pub confirmed: usize,
    /// The changes of state that the machines went through.
    pub moves: std::collections::BTreeSet<(sb_failover::State, sb_failover::Trigger)>,
    /// What happened, in words, when asked for.
    pub trace: Vec<String>,
}

/// Whether what happens is also told in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// No: fast.
    No,
    /// Yes.
    Yes,
}

/// Runs the schedule of `seed`.
#[must_use]
pub fn run(seed: u64, profile: &Profile, words: Words) -> Outcome {
    let mut world = world::World::new(seed, profile.clone());
    world.trace = (words == Words::Yes).then(Vec::new);
    let violation = world.run();
    Outcome {
        violation,
        tally: world.summary(),
        events: world.events,
        hash: world.hash,
        confirmed: world.confirmed.len(),
        moves: world.moves,
        trace: world.trace.unwrap_or_default(),
    }
}
