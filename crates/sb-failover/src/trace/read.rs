use super::frame::{Begin, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Follows, Latest, MAGIC, Made, Step};
use crate::{BootTime, Event, Machine};

/// Why a segment cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// It does not begin as a segment does.
    #[error("this is no segment of a trace")]
    NoSegment,
    /// It ends before its snapshot does, as one that was begun when the power went.
    #[error("the segment ends before its first step")]
    Empty,
    /// Its frames are whole and mean nothing to this program.
    #[error("the segment was recorded by another version ({version}; this is {})", env!("CARGO_PKG_VERSION"))]
    OtherVersion {
        /// The version that it names.
        version: String,
    },
    /// A frame in the middle is damaged.
    #[error("the segment is damaged at byte {at}")]
    Damaged {
        /// Where.
        at: usize,
    },
}

/// How a segment begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// How it stands to the one before.
    pub follows: Follows,
    /// UTC, RFC 3339, by the wall clock of the moment beside it.
    pub at: String,
    /// When it begins.
    pub moment: BootTime,
}

/// One segment. Its steps are read one by one, as they are played.
#[derive(Debug)]
pub struct Segment {
    /// How it begins.
    pub opening: Opening,
    pub(super) machine: Machine,
    /// The machine's state as it was written, to compare with that of a replay.
    pub(super) snapshot: Vec<u8>,
    pub(super) steps: Steps,
}

/// One step as it was recorded.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) moment: BootTime,
    pub(super) event: Event,
    pub(super) made: Option<Made>,
}

/// The steps of a segment that have not been read yet.
#[derive(Debug)]
pub(super) struct Steps {
    bytes: Vec<u8>,
    at: usize,
    latest: Latest,
    version: String,
}

/// Reads how a segment begins.
///
/// # Errors
/// When nothing of it can be replayed.
pub fn read_segment(bytes: Vec<u8>) -> Result<Segment, TraceError> {
    let Some(mut rest) = bytes.strip_prefix(MAGIC.as_slice()) else {
        let begun = bytes.len() < MAGIC.len() && MAGIC.starts_with(&bytes);
        return Err(if begun { TraceError::Empty } else { TraceError::NoSegment });
    };
    let begin = next_frame(&mut rest, MAGIC.len())?.ok_or(TraceError::Empty)?;
    let begin: Begin = postcard::from_bytes(begin)
        .map_err(|_| TraceError::OtherVersion { version: "unknown".to_owned() })?;
    let Begin { version, follows, at, moment, machine: snapshot } = begin;
    let machine: Machine =
        postcard::from_bytes(&snapshot).map_err(|_| TraceError::OtherVersion { version: version.clone() })?;
    let at_step = bytes.len() - rest.len();
    let steps = Steps { bytes, at: at_step, latest: Latest::new(), version };
    Ok(Segment { opening: Opening { follows, at, moment }, machine, snapshot, steps })
}

impl Steps {
    /// The next step; [`None`] at the end. A frame that is torn there is passed over: the program that wrote it was killed.
    pub(super) fn next(&mut self) -> Result<Option<Recorded>, TraceError> {
        let mut rest = &self.bytes[self.at..];
        let Some(frame) = next_frame(&mut rest, self.at)? else {
            return Ok(None);
        };
        let other = || TraceError::OtherVersion { version: self.version.clone() };
        let Step { moment, event, made } = postcard::from_bytes(frame).map_err(|_| other())?;
        let event = self.latest.lengthen(&event).ok_or(TraceError::Damaged { at: self.at })?;
        let event = postcard::from_bytes(event).map_err(|_| other())?;
        self.at = self.bytes.len() - rest.len();
        Ok(Some(Recorded { moment, event, made }))
    }

    /// Whether anything is left that is no whole frame.
    pub(super) fn is_torn(&self) -> bool {
        self.at < self.bytes.len()
    }
}

/// The next whole frame; [`None`] at the end, and where the last one is torn.
fn next_frame<'a>(rest: &mut &'a [u8], at: usize) -> Result<Option<&'a [u8]>, TraceError> {
    let Some((header, behind)) = rest.split_at_checked(FRAME_HEADER_BYTES) else {
        return Ok(None);
    };
    let word = |from: usize| {
        u32::from_le_bytes([header[from], header[from + 1], header[from + 2], header[from + 3]])
    };
    let length = usize::try_from(word(0)).unwrap_or(usize::MAX);
    // A file system may give zeros for what a power cut took.
    if header.iter().chain(behind).all(|byte| *byte == 0) {
        return Ok(None);
    }
    if length > FRAME_BYTES_MAX {
        return Err(TraceError::Damaged { at });
    }
    let Some((content, next)) = behind.split_at_checked(length) else {
        return Ok(None);
    };
    if crc32c::crc32c(content) != word(4) {
        return if next.is_empty() { Ok(None) } else { Err(TraceError::Damaged { at }) };
    }
    *rest = next;
    Ok(Some(content))
}
