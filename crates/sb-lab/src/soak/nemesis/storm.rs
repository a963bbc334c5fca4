//! Faults that overlap, bounded so that the cluster can come back.

use std::time::Duration;

use rand::Rng;

use super::{Draw, Nemesis};
use crate::place::Place;

/// Faults of one storm.
const FAULTS_OF_A_STORM: std::ops::RangeInclusive<usize> = 2..=4;

/// Within how long they begin, in milliseconds.
const BEGIN_MS: u64 = 8_000;

/// Voters that may be under a fault at one time: three of the five are left, and all come back.
pub const VOTERS_STRUCK_MAX: usize = 2;

/// A fault and when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blow {
    /// Since the storm began.
    pub at: Duration,
    /// What.
    pub draw: Draw,
}

impl Nemesis {
    /// One fault by itself.
    pub fn one(&mut self) -> Vec<Blow> {
        vec![Blow { at: Duration::ZERO, draw: self.draw() }]
    }

    /// Several, in the order in which they begin; the first at once.
    pub fn storm(&mut self) -> Vec<Blow> {
        let count = self.rng.random_range(FAULTS_OF_A_STORM);
        let mut blows: Vec<_> = (0..count)
            .map(|number| {
                let after = if number == 0 { 0 } else { self.rng.random_range(0..BEGIN_MS) };
                Blow { at: Duration::from_millis(after), draw: self.draw() }
            })
            .collect();
        blows.sort_by_key(|blow| blow.at);
        blows
    }
}

/// Whom a fault may hit while these are under others: itself, or one of those where it would be a voter too many.
#[must_use]
pub fn bounded(victim: Place, struck: &[Place], is_voter: impl Fn(Place) -> bool) -> Place {
    let mut voters: Vec<_> = struck.iter().copied().filter(|place| is_voter(*place)).collect();
    voters.sort();
    voters.dedup();
    if !is_voter(victim) || voters.contains(&victim) || voters.len() < VOTERS_STRUCK_MAX {
        return victim;
    }
    voters.first().copied().unwrap_or(victim)
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;
    use crate::options::StoreChoice;

    #[test]
    fn a_storm_has_several_faults_in_order_and_every_kind_comes_in_turn() {
        let mut nemesis = Nemesis::new(3, StoreChoice::Raft);
        let storms: Vec<_> = (0..20).map(|_| nemesis.storm()).collect();
        for storm in &storms {
            assert!(FAULTS_OF_A_STORM.contains(&storm.len()), "{storm:?}");
            assert!(storm.is_sorted_by_key(|blow| blow.at) && storm[0].at.is_zero(), "{storm:?}");
        }
        let mut kinds: Vec<_> =
            storms.iter().flatten().map(|blow| blow.draw.kind).take(Kind::ALL.len()).collect();
        assert_eq!(kinds.len(), Kind::ALL.len());
        kinds.sort();
        kinds.dedup();
        // Within a storm the order is that of the beginnings, so the last may belong to the next round.
        assert!(kinds.len() + 3 >= Kind::ALL.len(), "{kinds:?}");
    }

    #[test]
    fn a_third_voter_is_never_struck() {
        let [a, b, c, learner] =
            ["ravena-1", "burlington-1", "tucson-1", "ravena-2"].map(|name| Place::named(name).unwrap());
        let voter = |place| place != learner;
        assert_eq!(bounded(c, &[a], voter), c);
        assert_eq!(bounded(c, &[a, a], voter), c, "one server under two faults is one");
        assert_eq!(bounded(a, &[a, b], voter), a);
        assert!([a, b].contains(&bounded(c, &[a, b], voter)));
        assert_eq!(bounded(learner, &[a, b], voter), learner);
        assert_eq!(bounded(c, &[a, learner], voter), c);
    }
}
