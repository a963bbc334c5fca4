use std::cmp::Reverse;
use std::collections::BinaryHeap;

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
        self.heap.push(Reverse(Key::new(at, self.entered, slot)));
    }

    /// The next entry, unless it is after `end`.
    pub fn pop_until(&mut self, end: u64) -> Option<(u64, What)> {
        if self.heap.peek()?.0.at() > end {
            return None;
        }
        let Reverse(key) = self.heap.pop()?;
        self.free.push(key.slot() as u32);
        self.kept[key.slot()].take().map(|what| (key.at(), what))
    }

    /// Forgets the entries of which `gone` is true.
    pub fn forget(&mut self, gone: impl Fn(&What) -> bool) {
        let kept = &mut self.kept;
        let free = &mut self.free;
        self.heap.retain(|Reverse(key)| {
            let forgotten = kept[key.slot()].as_ref().is_none_or(&gone);
            if forgotten {
                kept[key.slot()] = None;
                free.push(key.slot() as u32);
            }
            !forgotten
        });
    }
}
