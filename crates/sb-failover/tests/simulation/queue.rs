//! What happens when: the earliest first, of equals the one that was put in first.

use std::cmp::Ordering;

use crate::world::What;

#[derive(Debug)]
pub struct Entry {
    pub at: u64,
    pub order: u64,
    pub what: What,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}
