use super::frame::{Begin, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Follows, Latest, MAGIC, Step};
use crate::{BootTime, Event, Machine, State};

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

/// One segment, read whole.
#[derive(Debug)]
pub struct Segment {
    /// How it begins.
    pub opening: Opening,
    pub(super) machine: Machine,
    /// The machine's state as it was written, to compare with that of a replay.
    pub(super) snapshot: Vec<u8>,
    pub(super) steps: Vec<Recorded>,
    /// How many bytes at the end are a frame that was not written whole.
    pub torn_bytes: usize,
}

/// One step as it was recorded.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) moment: BootTime,
    pub(super) event: Event,
    pub(super) state: State,
    pub(super) digest: u32,
}

/// Reads a segment. A frame that is torn at the end is passed over: the program that wrote it was killed.
///
/// # Errors
/// When nothing of it can be replayed, or it is damaged before its end.
pub fn read_segment(bytes: &[u8]) -> Result<Segment, TraceError> {
    let Some(mut rest) = bytes.strip_prefix(MAGIC.as_slice()) else {
        let begun = bytes.len() < MAGIC.len() && MAGIC.starts_with(bytes);
        return Err(if begun { TraceError::Empty } else { TraceError::NoSegment });
    };
    let at = |rest: &[u8]| bytes.len() - rest.len();
    let place = at(rest);
    let begin = next_frame(&mut rest, place)?.ok_or(TraceError::Empty)?;
    let begin: Begin = postcard::from_bytes(begin)
        .map_err(|_| TraceError::OtherVersion { version: "unknown".to_owned() })?;
    let other = || TraceError::OtherVersion { version: begin.version.clone() };
    let machine: Machine = postcard::from_bytes(&begin.machine).map_err(|_| other())?;
    let (mut latest, mut steps) = (Latest::new(), Vec::new());
    loop {
        let place = at(rest);
        let Some(frame) = next_frame(&mut rest, place)? else {
            break;
        };
        let step: Step = postcard::from_bytes(frame).map_err(|_| other())?;
        let event = latest.lengthen(&step.event).ok_or(TraceError::Damaged { at: place })?;
        let event = postcard::from_bytes(event).map_err(|_| other())?;
        steps.push(Recorded { moment: step.moment, event, state: step.state, digest: step.digest });
    }
    let opening = Opening { follows: begin.follows, at: begin.at, moment: begin.moment };
    Ok(Segment { opening, machine, snapshot: begin.machine, steps, torn_bytes: rest.len() })
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
