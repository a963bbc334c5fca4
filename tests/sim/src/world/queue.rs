use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::What;

/// When an entry is due, which one it is, and where it is kept: one small number, so that the heap compares and moves
/// little.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u128);

impl Key {
    const fn new(at: u64, entered: u32, slot: u32) -> Self {
        Self((at as u128) << 64 | (entered as u128) << 32 | slot as u128)
    }

    const fn at(self) -> u64 {
        (self.0 >> 64) as u64
    }

    const fn slot(self) -> usize {
        self.0 as u32 as usize
    }
}

/// Everything that will happen, in order of time and, at one time, of entry.
#[derive(Debug, Default)]
pub struct Queue {
    heap: BinaryHeap<Reverse<Key>>,
    /// What is due at the time of the last entry taken: in order as it comes, so it need not go through the heap.
    due: VecDeque<Key>,
    now: u64,
    kept: Vec<Option<What>>,
    free: Vec<u32>,
    entered: u32,
}

impl Queue {
    pub fn push(&mut self, at: u64, what: What) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.kept.push(None);
            u32::try_from(self.kept.len() - 1).expect("fewer entries than memory")
        });
        self.kept[slot as usize] = Some(what);
        self.entered += 1;
        let key = Key::new(at, self.entered, slot);
        if at == self.now {
            self.due.push_back(key);
        } else {
            self.heap.push(Reverse(key));
        }
    }

    /// The next entry, unless it is after `end`.
    pub fn pop_until(&mut self, end: u64) -> Option<(u64, What)> {
        let key = self.take_first(end)?;
        self.now = key.at();
        self.free.push(key.slot() as u32);
        self.kept[key.slot()].take().map(|what| (key.at(), what))
    }

    fn take_first(&mut self, end: u64) -> Option<Key> {
        let later = self.heap.peek().map(|Reverse(key)| *key).filter(|key| key.at() <= end);
        match (self.due.front().copied(), later) {
            (Some(due), later) if later.is_none_or(|key| due < key) => self.due.pop_front(),
            (_, Some(_)) => self.heap.pop().map(|Reverse(key)| key),
            (_, None) => None,
        }
    }

    /// Forgets the entries of which `gone` is true.
    pub fn forget(&mut self, gone: impl Fn(&What) -> bool) {
        let kept = &mut self.kept;
        let free = &mut self.free;
        let mut stays = |key: &Key| {
            let forgotten = kept[key.slot()].as_ref().is_none_or(&gone);
            if forgotten {
                kept[key.slot()] = None;
                free.push(key.slot() as u32);
            }
            !forgotten
        };
        self.heap.retain(|Reverse(key)| stays(key));
        self.due.retain(|key| stays(key));
    }
}
