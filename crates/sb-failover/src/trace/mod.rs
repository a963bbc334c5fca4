//! Everything that went into a machine, in a form that gives the same machine again.
//!
//! A trace is a row of **segments**. Each begins with the machine's whole state and goes on with one frame for each
//! call of [`crate::Machine::handle`]: the moment, the event, and a digest of what the machine made of it. So every
//! segment replays without those before it, and a replay that comes to something else is noticed at the very step.
//!
//! Bytes in, bytes out: who embeds it writes the files. Nothing here is read by an agent: a trace is for people, and the
//! only place where readings of a clock are written down, in a form of its own (rule R1 is about what servers act on).

mod frame;
pub(crate) mod moment;
mod read;
mod recorder;
mod replay;

pub use frame::{FRAME_BYTES_MAX, Follows};
pub use read::{Opening, Segment, TraceError, read_segment};
pub use recorder::Recorder;
pub use replay::{Diverged, Played, Replay, StepError};
