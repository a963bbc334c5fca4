//! Servers as numbers: 0 is the primary, sets are masks.

use std::collections::BTreeSet;

use sb_failover::record::Durability;
use sb_failover::resolver::{InForce, Late, Owner, Patience, Recorded, Situation, Standbys};

pub const ME: u8 = 0;

pub type Mask = u8;

pub fn set(mask: Mask) -> BTreeSet<u8> {
    (0..8).filter(|i| mask & (1 << i) != 0).collect()
}

pub fn mask(set: &BTreeSet<u8>) -> Mask {
    set.iter().fold(0, |mask, i| mask | (1 << i))
}

pub const fn count(mask: Mask) -> usize {
    mask.count_ones() as usize
}

/// Every part of `of` with `size` members.
pub fn groups(of: Mask, size: usize) -> impl Iterator<Item = Mask> {
    (0..=of).filter(move |group| group & !of == 0 && count(*group) == size)
}

/// A situation that owns its sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scene {
    pub durability: Durability,
    pub wanted_durability: Durability,
    pub number: usize,
    pub owner: Owner,
    pub voters: Mask,
    pub quorum: usize,
    pub degraded: bool,
    /// k and S.
    pub postgres: Option<(usize, Mask)>,
    pub late: Late,
    pub patience: Patience,
    pub wanted: Mask,
    pub ready: Mask,
    pub answering: Mask,
    pub gone: Mask,
    pub past_barrier: Mask,
}

impl Scene {
    pub fn settled(number: usize, voters: Mask, quorum: usize, postgres: Option<(usize, Mask)>) -> Self {
        Self {
            durability: Durability::Strict,
            wanted_durability: Durability::Strict,
            number,
            owner: Owner::Me,
            voters,
            quorum,
            degraded: false,
            postgres,
            late: Late::Impossible,
            patience: Patience::Lasts,
            wanted: 0,
            ready: 0,
            answering: 0,
            gone: 0,
            past_barrier: 0,
        }
    }

    /// Hands the situation to `look`.
    pub fn with<R>(&self, look: impl FnOnce(&Situation<'_, u8>) -> R) -> R {
        let (voters, wanted, ready) = (set(self.voters), set(self.wanted), set(self.ready));
        let (answering, gone, past_barrier) = (set(self.answering), set(self.gone), set(self.past_barrier));
        let postgres = self.postgres.map(|(number, names)| InForce { number, names: set(names) });
        look(&Situation {
            me: &ME,
            record: Recorded {
                durability: self.durability,
                wanted: self.wanted_durability,
                number: self.number,
                owner: self.owner,
                voters: &voters,
                quorum: self.quorum,
                degraded: self.degraded,
            },
            postgres: postgres.as_ref(),
            late: self.late,
            patience: self.patience,
            standbys: Standbys {
                wanted: &wanted,
                ready: &ready,
                expected: &BTreeSet::new(),
                answering: &answering,
                gone: &gone,
                past_barrier: &past_barrier,
            },
        })
    }

    /// Whether groups elect by V of this term.
    pub fn elects(&self) -> bool {
        self.durability.is_synchronous() && !self.degraded && self.owner == Owner::Me
    }
}

/// Whether any `number` of `names` and any `quorum` + 1 of `voters` have a member in common.
pub fn groups_meet(voters: Mask, quorum: usize, names: Mask, number: usize) -> bool {
    count(voters | names) <= quorum + number
}

#[test]
fn the_sum_says_whether_all_groups_meet() {
    for voters in 0_u8..32 {
        for names in 0_u8..32 {
            for quorum in 0..count(voters) {
                for number in 1..=count(names) {
                    let meet = groups(voters, quorum + 1).all(|e| groups(names, number).all(|a| e & a != 0));
                    let by_sum = groups_meet(voters, quorum, names, number);
                    assert!(meet || !by_sum, "{voters:b} {quorum} {names:b} {number}");
                    assert!(by_sum || !meet || voters != names, "{voters:b} {quorum} {number}");
                }
            }
        }
    }
}
