use serde::{Deserialize, Serialize};

use super::moment::{self, Traced};
use crate::{BootTime, Command, Machine, State};

/// What a segment begins with: what it is, and the version of its form.
pub(super) const MAGIC: &[u8; 8] = b"sbtrace2";

/// The longest frame that is written or read. A snapshot holds the record once, and the record's parts are bounded.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Before each frame: its length and its CRC32C.
pub(super) const FRAME_HEADER_BYTES: usize = 8;

/// How a segment stands to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Follows {
    /// The agent has begun a run.
    Start,
    /// Nothing is missing between the two.
    Continues,
    /// Steps are missing: the disk did not take them.
    Gap {
        /// How many.
        steps: u64,
    },
}

/// The first frame of a segment.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Begin {
    pub(super) version: String,
    pub(super) follows: Follows,
    /// UTC, by the wall clock, of the moment beside it: to be shown to people.
    pub(super) at: String,
    #[serde(with = "moment")]
    pub(super) moment: BootTime,
    /// The machine's whole state.
    pub(super) machine: Vec<u8>,
}

/// Every other frame: one step of the machine.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Step {
    #[serde(with = "moment")]
    pub(super) moment: BootTime,
    /// The event, as far as it differs from the last one of its kind.
    pub(super) event: Delta,
    /// What the machine made of it; [`None`] when it panicked.
    pub(super) made: Option<Made>,
}

/// What a machine made of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Made {
    pub(super) state: State,
    pub(super) digest: u32,
}

/// Bytes told by what they share with others at both ends.
///
/// Two events of a kind differ in little: a record by the renewal in it, an observation by a position.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Delta {
    /// The event's kind, as its encoding begins.
    pub(super) kind: u8,
    head: u32,
    tail: u32,
    middle: Vec<u8>,
}

/// How many kinds of events there may be.
const KINDS_MAX: usize = 32;

/// The last event of each kind, encoded.
#[derive(Debug)]
pub(super) struct Latest {
    events: Vec<Vec<u8>>,
}

impl Latest {
    pub(super) fn new() -> Self {
        Self { events: vec![Vec::new(); KINDS_MAX] }
    }

    /// Notes an encoded event and tells how it differs; [`None`] for one that no machine takes.
    pub(super) fn shorten(&mut self, event: Vec<u8>) -> Option<Delta> {
        let kind = *event.first()?;
        let before = self.events.get_mut(usize::from(kind))?;
        let shared = before.len().min(event.len());
        let head = (0..shared).take_while(|i| before[*i] == event[*i]).count();
        let rest = shared - head;
        let tail = (1..=rest).take_while(|i| before[before.len() - i] == event[event.len() - i]).count();
        let middle = event[head..event.len() - tail].to_vec();
        *before = event;
        Some(Delta { kind, head: u32::try_from(head).ok()?, tail: u32::try_from(tail).ok()?, middle })
    }

    /// The event that a difference stands for; [`None`] when it fits to nothing.
    pub(super) fn lengthen(&mut self, delta: &Delta) -> Option<&[u8]> {
        let before = self.events.get_mut(usize::from(delta.kind))?;
        let (head, tail) = (usize::try_from(delta.head).ok()?, usize::try_from(delta.tail).ok()?);
        let tail_begins = before.len().checked_sub(tail)?;
        let mut event = before.get(..head)?.to_vec();
        event.extend_from_slice(&delta.middle);
        event.extend_from_slice(before.get(tail_begins..)?);
        *before = event;
        Some(before)
    }
}

/// What a machine made of an event: its commands in their order, and when it wants to be called again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest(u32);

impl Digest {
    pub(super) fn command(&mut self, command: &Command) {
        self.add(&postcard::to_stdvec(command).unwrap_or_default());
    }

    /// The digest when the commands have been taken.
    pub(super) fn of(mut self, machine: &Machine) -> u32 {
        self.add(&postcard::to_stdvec(&machine.poll_timeout().form()).unwrap_or_default());
        self.0
    }

    fn add(&mut self, bytes: &[u8]) {
        self.0 = crc32c::crc32c_append(self.0, bytes);
    }
}

/// A frame as it stands in a segment; [`None`] when it is too long.
pub(super) fn framed<T: Serialize>(content: &T) -> Option<Vec<u8>> {
    let content = postcard::to_stdvec(content).ok().filter(|bytes| bytes.len() <= FRAME_BYTES_MAX)?;
    let mut frame = u32::try_from(content.len()).ok()?.to_le_bytes().to_vec();
    frame.extend_from_slice(&crc32c::crc32c(&content).to_le_bytes());
    frame.extend_from_slice(&content);
    Some(frame)
}
