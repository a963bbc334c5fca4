/// Room that the device's own header needs before each packet.
pub(crate) const HEADROOM_BYTES: usize = 10;
/// A device may join packets up to this size in the buffer of the first.
const JOINED_BYTES_MAX: usize = 65_535;
/// So many packets are worth a write. More would not be joined into longer pieces, and only need memory.
const PACKETS_ENOUGH: usize = 16;

/// Packets for the local host, each in a buffer of its own with room for the device's header before it.
#[derive(Debug, Default)]
pub struct Inbox {
    buffers: Vec<Vec<u8>>,
    used: usize,
}

impl Inbox {
    /// Whether it is time to hand over before more is received.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.used >= PACKETS_ENOUGH
    }

    /// The packets in order.
    pub fn packets(&self) -> impl Iterator<Item = &[u8]> {
        self.buffers[..self.used].iter().map(|buffer| &buffer[HEADROOM_BYTES..])
    }

    /// Forgets what was handed over.
    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// The buffers with their headroom, for a device that joins packets where they are.
    pub(crate) fn buffers(&mut self) -> &mut [Vec<u8>] {
        &mut self.buffers[..self.used]
    }

    /// Where the next packet may be written.
    pub(super) fn room(&mut self, bytes: usize) -> &mut [u8] {
        if self.used == self.buffers.len() {
            // Pages that are not written to are not there.
            self.buffers.push(Vec::with_capacity(HEADROOM_BYTES + JOINED_BYTES_MAX));
        }
        let buffer = &mut self.buffers[self.used];
        buffer.resize(HEADROOM_BYTES + bytes, 0);
        &mut buffer[HEADROOM_BYTES..]
    }

    /// Keeps what was written last, which is this long.
    pub(super) fn keep(&mut self, bytes: usize) {
        self.buffers[self.used].truncate(HEADROOM_BYTES + bytes);
        self.used += 1;
    }
}
