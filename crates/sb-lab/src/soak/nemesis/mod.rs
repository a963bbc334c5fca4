//! What goes wrong, when and for how long: drawn from a seed.

mod etcd;
mod kind;
mod storm;

use std::collections::VecDeque;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

pub use etcd::EtcdKind;
pub use kind::{Kind, Scope};
pub use storm::{Blow, VOTERS_STRUCK_MAX, bounded};

use crate::options::StoreChoice;
use crate::place::{Place, SERVERS_COUNT};

/// How long a fault lasts. From the short end, which a lease outlives, to one in which everything has moved on.
const LASTS_MS: std::ops::Range<u64> = 3_000..12_000;

/// Whom a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// Whoever is primary then.
    Primary,
    /// This server.
    Server(Place),
}

/// One fault to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// What.
    pub kind: Kind,
    /// Whom.
    pub victim: Victim,
    /// Another server, for what happens between two; never the victim when that is a server by name.
    pub other: Place,
    /// How long.
    pub lasts: Duration,
}

/// Draws faults. Every kind comes once before one comes again.
#[derive(Debug)]
pub struct Nemesis {
    rng: SmallRng,
    store: StoreChoice,
    deck: VecDeque<Kind>,
}

impl Nemesis {
    /// The faults of a seed, with those of the store that the cluster has.
    #[must_use]
    pub fn new(seed: u64, store: StoreChoice) -> Self {
        Self { rng: SmallRng::seed_from_u64(seed), store, deck: VecDeque::new() }
    }

    /// Every kind that this cluster can suffer. An etcd is led by one of its own members.
    fn kinds(&self) -> Vec<Kind> {
        match self.store {
            StoreChoice::Raft => Kind::ALL.to_vec(),
            StoreChoice::Etcd => {
                let others = Kind::ALL.into_iter().filter(|kind| *kind != Kind::KillStoreLeader);
                others.chain(EtcdKind::ALL.map(Kind::Etcd)).collect()
            }
        }
    }

    /// The next.
    pub fn draw(&mut self) -> Draw {
        if self.deck.is_empty() {
            let mut kinds = self.kinds();
            kinds.shuffle(&mut self.rng);
            self.deck.extend(kinds);
        }
        let kind = self.deck.pop_front().unwrap_or(Kind::KillHost);
        let server = self.rng.random_range(0..SERVERS_COUNT);
        let other = (server + self.rng.random_range(1..SERVERS_COUNT)) % SERVERS_COUNT;
        let place = |index: usize| Place::servers().nth(index).unwrap_or(Place::OFFICE);
        // The primary is where it hurts.
        let victim = if self.rng.random_bool(0.6) { Victim::Primary } else { Victim::Server(place(server)) };
        let lasts = Duration::from_millis(self.rng.random_range(LASTS_MS));
        let lasts = if let Kind::Etcd(kind) = kind { kind.lasts(lasts) } else { lasts };
        Draw { kind, victim, other: place(other), lasts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_again_and_every_kind_in_turn() {
        let draws = |seed| {
            let mut nemesis = Nemesis::new(seed, StoreChoice::Raft);
            (0..Kind::ALL.len()).map(|_| nemesis.draw()).collect::<Vec<_>>()
        };
        assert_eq!(draws(5), draws(5));
        assert_ne!(draws(5), draws(6));
        let drawn = draws(5);
        for kind in Kind::ALL {
            assert_eq!(drawn.iter().filter(|draw| draw.kind == kind).count(), 1, "{kind}");
        }
    }

    #[test]
    fn an_etcd_has_faults_of_its_own_which_have_names() {
        let mut nemesis = Nemesis::new(5, StoreChoice::Etcd);
        let kinds = nemesis.kinds();
        let drawn: Vec<_> = kinds.iter().map(|_| nemesis.draw().kind).collect();
        assert!(kinds.iter().all(|kind| drawn.contains(kind)), "each comes before one comes again");
        let names: Vec<_> = EtcdKind::ALL.iter().map(|kind| Kind::Etcd(*kind).to_string()).collect();
        assert_eq!(names[0], "etcd-kill-member");
        assert!(!drawn.contains(&Kind::KillStoreLeader));
    }
}
