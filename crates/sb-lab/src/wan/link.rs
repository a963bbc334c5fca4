//! One direction between two ports: its quality, its queue, its order.

use std::time::{Duration, Instant};

use rand::Rng;

/// What one direction of one link holds at most; the rest is dropped, as a real router does.
/// Enough for 200 MB/s at the longest distance of the lab (37.5 ms one way).
pub const QUEUE_BYTES_MAX: usize = 8 << 20;

const MILLION: u32 = 1_000_000;

/// How good one direction of a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkQuality {
    /// One-way delay.
    pub delay: Duration,
    /// Up to this much more, evenly spread; order is kept all the same.
    pub jitter: Duration,
    /// Packets lost, per million.
    pub loss_per_million: u32,
    /// Bytes a second; `None` = not limited.
    pub rate_bytes_per_second: Option<u64>,
}

impl LinkQuality {
    /// A link that only takes time.
    #[must_use]
    pub fn with_delay(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    fn wire_time(&self, bytes: usize) -> Duration {
        match self.rate_bytes_per_second {
            None => Duration::ZERO,
            Some(rate) => Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64),
        }
    }
}

/// Why a link does not take a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Cut,
    Lost,
    QueueFull,
}

/// One direction between two ports.
#[derive(Debug, Clone, Default)]
pub(super) struct Link {
    pub(super) quality: LinkQuality,
    pub(super) cut: bool,
    queued_bytes: usize,
    /// When the last byte accepted so far has left the sender.
    wire_free: Option<Instant>,
    /// When the newest packet arrives; a later one never arrives earlier.
    newest_arrival: Option<Instant>,
}

impl Link {
    /// Takes a packet, and says when it arrives.
    pub(super) fn accept(
        &mut self,
        bytes: usize,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Result<Instant, Refused> {
        if self.cut {
            return Err(Refused::Cut);
        }
        if self.quality.loss_per_million > 0 && rng.random_range(0..MILLION) < self.quality.loss_per_million {
            return Err(Refused::Lost);
        }
        if self.queued_bytes + bytes > QUEUE_BYTES_MAX {
            return Err(Refused::QueueFull);
        }
        let starts = self.wire_free.map_or(now, |free| free.max(now));
        let sent = starts + self.quality.wire_time(bytes);
        let arrives = sent + self.quality.delay + self.jitter(rng);
        let arrives = self.newest_arrival.map_or(arrives, |newest| newest.max(arrives));
        self.queued_bytes += bytes;
        self.wire_free = Some(sent);
        self.newest_arrival = Some(arrives);
        Ok(arrives)
    }

    /// The packet has left the queue, delivered or not.
    pub(super) fn leave(&mut self, bytes: usize) {
        self.queued_bytes -= bytes;
    }

    fn jitter(&self, rng: &mut impl Rng) -> Duration {
        if self.quality.jitter.is_zero() {
            return Duration::ZERO;
        }
        self.quality.jitter.mul_f64(rng.random::<f64>())
    }
}
