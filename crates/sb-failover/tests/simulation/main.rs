//! Whole clusters under faults: a safety phase, then a calm in which the cluster has to become whole again.
//!
//! Every schedule follows from its seed alone. `SB_SIM_SEED=n` replays one (with a trace), `SB_SIM_SCHEDULES=n`
//! sets how many fresh ones a run tries.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod clients;
mod coverage;
mod failsafe;
mod faults;
mod invariants;
mod mutants;
mod operations;
mod postgres;
mod profile;
mod queue;
mod reach;
mod rng;
mod server;
mod store;
mod tape;
mod world;

use std::collections::BTreeSet;
use std::io::Write as _;

use sb_failover::record::Durability;
use sb_failover::{State, Trigger};

use profile::Profile;
use world::{Violation, World};

const FIXED_SEEDS: u64 = 60;
const FRESH_SCHEDULES_DEFAULT: u64 = 20;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|v| v.parse().ok())
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn run(seed: u64, profile: &Profile) -> (Option<Violation>, World) {
    let mut world = World::new(seed, profile.clone(), invariants::all());
    if number("SB_SIM_SEED").is_some() {
        world.trace = Some(Vec::new());
    }
    (world.run(), world)
}

/// Fixed seeds first, then fresh ones; the first violation is shown with its seed.
fn hold(profile: &Profile) -> BTreeSet<(State, Trigger)> {
    let fresh_from = u64::from(std::process::id()) << 20 | std::env::temp_dir().as_os_str().len() as u64;
    let entropy = std::collections::hash_map::RandomState::new();
    let fresh_from = std::hash::BuildHasher::hash_one(&entropy, fresh_from) >> 16;
    let fresh = number("SB_SIM_SCHEDULES").unwrap_or(FRESH_SCHEDULES_DEFAULT);
    let seeds: Vec<u64> = match number("SB_SIM_SEED") {
        Some(seed) => vec![seed],
        None => (0..FIXED_SEEDS).chain(fresh_from..fresh_from + fresh).collect(),
    };
    let mut moves = BTreeSet::new();
    for seed in seeds {
        let (violation, world) = run(seed, profile);
        if let Some(trace) = &world.trace {
            say(&trace.join("\n"));
        }
        if let Some(v) = violation {
            let name = profile.name;
            panic!(
                "SB_SIM_SEED={seed} ({name}, {:?}): {} at {} ms: {}",
                profile.durability, v.invariant, v.at_ms, v.what
            );
        }
        moves.extend(&world.moves);
    }
    moves
}

#[test]
fn asynchronous_clusters_keep_every_invariant() {
    hold(&Profile::real(Durability::Async));
}

#[test]
fn synchronous_clusters_keep_every_invariant() {
    hold(&Profile::real(Durability::Sync));
}

#[test]
fn strict_clusters_keep_every_invariant() {
    hold(&Profile::real(Durability::Strict));
}

#[test]
fn asynchronous_clusters_keep_every_invariant_without_margins() {
    hold(&Profile::adversarial(Durability::Async));
}

#[test]
fn synchronous_clusters_keep_every_invariant_without_margins() {
    hold(&Profile::adversarial(Durability::Sync));
}

#[test]
fn asynchronous_clusters_with_the_failsafe_keep_every_invariant() {
    hold(&Profile::real(Durability::Async).failsafe());
}

#[test]
fn synchronous_clusters_with_the_failsafe_keep_every_invariant() {
    hold(&Profile::real(Durability::Sync).failsafe());
}

#[test]
fn asynchronous_clusters_with_the_failsafe_keep_every_invariant_without_margins() {
    hold(&Profile::adversarial(Durability::Async).failsafe());
}

#[test]
fn synchronous_clusters_with_the_failsafe_keep_every_invariant_without_margins() {
    hold(&Profile::adversarial(Durability::Sync).failsafe());
}

/// Over all profiles, since some rows need a synchronous cluster and some a person who accepts a loss.
#[test]
fn every_row_of_the_table_happens() {
    let mut moves = BTreeSet::new();
    for profile in [Profile::real(Durability::Async), Profile::real(Durability::Sync)] {
        for seed in 0..160 {
            moves.extend(run(seed, &profile).1.moves);
        }
    }
    assert_eq!(coverage::unreached(&moves), []);
}
