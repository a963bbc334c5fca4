//! What a client asks next: drawn from its own seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::super::history::{Action, Isolation, Key, RowId, Step};
use super::tables::ACCOUNTS;

/// Lists that are appended to at one time.
const LISTS_AT_ONCE: i64 = 6;

/// Appends to a list, about, before clients go on to another: reading a list costs its length.
const APPENDS_OF_A_LIST: i64 = 40;

/// Most steps of a transaction on lists.
const STEPS_MAX: usize = 4;

/// Ids of one client; the next client's begin here.
const IDS_OF_A_CLIENT: i64 = 1_000_000_000;

/// How many values were appended so far, by all clients: which lists are in use follows from it.
pub(super) type Appended = Arc<AtomicI64>;

/// Draws what one client asks.
#[derive(Debug)]
pub(super) struct Choice {
    rng: SmallRng,
    next_id: RowId,
    appended: Appended,
}

impl Choice {
    /// The `client`-th of a run.
    pub(super) fn new(seed: u64, client: u32, appended: Appended) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(seed ^ (u64::from(client) << 32)),
            next_id: i64::from(client) * IDS_OF_A_CLIENT,
            appended,
        }
    }

    /// What to ask next.
    pub(super) fn action(&mut self) -> Action {
        match self.rng.random_range(0..100) {
            0..35 => Action::Insert { id: self.id() },
            35..50 => self.transfer(),
            50..55 => Action::Accounts { sum: None },
            55..82 => self.lists(),
            82..92 => Action::Increment { became: None },
            _ => Action::Register { seen: None },
        }
    }

    /// How long a client waits before it asks, in milliseconds.
    pub(super) fn pause_ms(&mut self) -> u64 {
        self.rng.random_range(10..50)
    }

    fn transfer(&mut self) -> Action {
        let from = self.rng.random_range(1..=ACCOUNTS);
        let to = (from + self.rng.random_range(1..ACCOUNTS) - 1) % ACCOUNTS + 1;
        Action::Transfer { id: self.id(), from, to, amount: self.rng.random_range(1..20) }
    }

    fn lists(&mut self) -> Action {
        let isolation = if self.rng.random() { Isolation::RepeatableRead } else { Isolation::ReadCommitted };
        let steps = (0..self.rng.random_range(1..=STEPS_MAX)).map(|_| self.step()).collect();
        Action::Lists { isolation, steps }
    }

    fn step(&mut self) -> Step {
        if self.rng.random() {
            let key = self.key(self.appended.fetch_add(1, Ordering::Relaxed));
            Step::Append { key, value: self.id() }
        } else {
            Step::Read { key: self.key(self.appended.load(Ordering::Relaxed)), seen: None }
        }
    }

    fn key(&mut self, appended: i64) -> Key {
        appended / (LISTS_AT_ONCE * APPENDS_OF_A_LIST) * LISTS_AT_ONCE
            + self.rng.random_range(0..LISTS_AT_ONCE)
    }

    fn id(&mut self) -> RowId {
        self.next_id += 1;
        self.next_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_asks_the_same_again_and_everything_in_turn() {
        let actions = |seed| {
            let mut choice = Choice::new(seed, 3, Appended::default());
            (0..500).map(|_| choice.action()).collect::<Vec<_>>()
        };
        assert_eq!(actions(1), actions(1));
        assert_ne!(actions(1), actions(2));
        let first = actions(1);
        assert!(first.iter().any(|it| matches!(it, Action::Accounts { .. })));
        assert!(first.iter().any(|it| matches!(it, Action::Register { .. })));
        let same = |it: &&Action| matches!(it, Action::Transfer { from, to, .. } if from == to || *to < 1);
        assert_eq!(first.iter().find(same), None, "nobody pays himself");
    }
}
