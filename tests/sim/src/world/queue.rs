use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::What;

/// Everything that will happen, in order of time and, at one time, of entry.
#[derive(Debug, Default)]
pub struct Queue {
    /// (when, which entry, where it is kept): small keys, so that the heap moves little.
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    kept: Vec<Option<What>>,
    free: Vec<u32>,
    entered: u64,
}

impl Queue {
    pub fn push(&mut self, at: u64, what: What) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.kept.push(None);
            u32::try_from(self.kept.len() - 1).expect("fewer entries than memory")
        });
        self.kept[slot as usize] = Some(what);
        self.entered += 1;
        self.heap.push(Reverse((at, self.entered, slot)));
    }

    /// The next entry, unless it is after `end`.
    pub fn pop_until(&mut self, end: u64) -> Option<(u64, What)> {
        if self.heap.peek()?.0.0 > end {
            return None;
        }
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        self.kept[slot as usize].take().map(|what| (at, what))
    }

    /// Forgets the entries of which `gone` is true.
    pub fn forget(&mut self, gone: impl Fn(&What) -> bool) {
        let kept = &mut self.kept;
        let free = &mut self.free;
        self.heap.retain(|Reverse((_, _, slot))| {
            let forgotten = kept[*slot as usize].as_ref().is_none_or(&gone);
            if forgotten {
                kept[*slot as usize] = None;
                free.push(*slot);
            }
            !forgotten
        });
    }
}
