use raft::{Raft, StateRole, Storage};

/// Draws election timeouts from a source of the embedder's.
///
/// The `raft` crate draws from the thread's generator whenever it resets, so a run would not replay. The drawn value
/// cannot be compared to notice a reset (it may be equal by chance), so ours is put back after every call, and a new
/// one is drawn when role, term or leader changed.
pub(crate) struct ElectionTimeout {
    source: Box<dyn FnMut() -> u64 + Send>,
    min_ticks: usize,
    max_ticks: usize,
    drawn_ticks: usize,
    seen: Option<(StateRole, u64, u64)>,
}

impl ElectionTimeout {
    pub(crate) fn new(min_ticks: u32, max_ticks: u32, source: Box<dyn FnMut() -> u64 + Send>) -> Self {
        let (min_ticks, max_ticks) = (min_ticks as usize, max_ticks as usize);
        Self { source, min_ticks, max_ticks, drawn_ticks: min_ticks, seen: None }
    }

    /// To be called after everything that may have changed Raft's state.
    pub(crate) fn enforce<T: Storage>(&mut self, raft: &mut Raft<T>) {
        let now = (raft.state, raft.term, raft.leader_id);
        if self.seen != Some(now) {
            self.seen = Some(now);
            let span = (self.max_ticks - self.min_ticks) as u64;
            let extra = usize::try_from((self.source)() % span).unwrap_or_default();
            self.drawn_ticks = self.min_ticks + extra;
        }
        raft.set_randomized_election_timeout(self.drawn_ticks);
    }
}
