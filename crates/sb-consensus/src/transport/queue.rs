use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::limits::{LANE_BYTES_MAX, LANE_FRAMES_MAX};

/// Frames on their way to one lane of one peer. When it is full the oldest goes: Raft sends anew what matters.
#[derive(Debug, Default)]
pub(super) struct LaneQueue {
    held: Mutex<Held>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
    closed: bool,
}

impl LaneQueue {
    pub(super) fn push(&self, frame: Vec<u8>) {
        let mut held = self.held();
        held.bytes += frame.len();
        held.frames.push_back(frame);
        while held.frames.len() > LANE_FRAMES_MAX || held.bytes > LANE_BYTES_MAX {
            let Some(oldest) = held.frames.pop_front() else { break };
            held.bytes -= oldest.len();
        }
        drop(held);
        self.changed.notify_one();
    }

    /// Everything that waits, as soon as there is something; `None` when the lane is closed.
    pub(super) async fn take(&self) -> Option<Vec<Vec<u8>>> {
        loop {
            {
                let mut held = self.held();
                if held.closed {
                    return None;
                }
                if !held.frames.is_empty() {
                    held.bytes = 0;
                    return Some(held.frames.drain(..).collect());
                }
            }
            self.changed.notified().await;
        }
    }

    /// Waits for the next frame without taking it; false when the lane is closed.
    pub(super) async fn wait(&self) -> bool {
        loop {
            {
                let held = self.held();
                if held.closed || !held.frames.is_empty() {
                    return !held.closed;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Forgets what waits: after a while without a connection it is stale.
    pub(super) fn clear(&self) {
        let mut held = self.held();
        held.frames.clear();
        held.bytes = 0;
    }

    pub(super) fn close(&self) {
        self.held().closed = true;
        self.changed.notify_one();
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_lane_drops_its_oldest_frame() {
        let queue = LaneQueue::default();
        for n in 0..=LANE_FRAMES_MAX {
            queue.push(n.to_le_bytes().to_vec());
        }
        let frames = queue.take().await.unwrap();
        assert_eq!(frames.len(), LANE_FRAMES_MAX);
        assert_eq!(frames[0], 1_usize.to_le_bytes());
    }

    #[tokio::test]
    async fn a_closed_lane_has_no_more_frames() {
        let queue = LaneQueue::default();
        queue.close();
        assert_eq!(queue.take().await, None);
    }
}
