use super::frame::{Begin, Digest, Follows, Latest, MAGIC, Made, Step, framed};
use crate::{BootTime, Command, Event, Machine};

/// Turns the calls of one machine into the bytes of a segment.
///
/// To ensure correctness, for each call of `handle`: [`Recorder::event`] before it, [`Recorder::command`] for every
/// command that the machine gives, then [`Recorder::end`]. All bytes that it gives, in their order, are the segment.
#[derive(Debug)]
pub struct Recorder {
    latest: Latest,
    pending: Option<(BootTime, Vec<u8>)>,
    digest: Digest,
}

impl Recorder {
    /// Begins a segment with `machine` as it is, between two steps, and gives its first bytes; [`None`] when the
    /// state is too long to be written.
    #[must_use]
    pub fn begin(
        machine: &Machine,
        follows: Follows,
        at: String,
        moment: BootTime,
    ) -> Option<(Self, Vec<u8>)> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let machine = postcard::to_stdvec(machine).ok()?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend(framed(&Begin { version, follows, at, moment, machine })?);
        let recorder = Self { latest: Latest::new(), pending: None, digest: Digest::default() };
        Some((recorder, bytes))
    }

    /// The machine is about to be given this event.
    pub fn event(&mut self, event: &Event, now: BootTime) {
        self.pending = postcard::to_stdvec(event).ok().map(|event| (now, event));
        self.digest = Digest::default();
    }

    /// The machine has given this command.
    pub fn command(&mut self, command: &Command) {
        self.digest.command(command);
    }

    /// The machine has given all its commands: the step's bytes. [`None`] when it cannot be written: then the segment
    /// is broken, and another must be begun.
    #[must_use]
    pub fn end(&mut self, machine: &Machine) -> Option<Vec<u8>> {
        let made = Made { state: machine.state(), digest: self.digest.of(machine) };
        self.step(Some(made))
    }

    /// The machine has panicked: the bytes of the step that it did not end. [`None`] when it was in none.
    #[must_use]
    pub fn panicked(&mut self) -> Option<Vec<u8>> {
        self.step(None)
    }

    fn step(&mut self, made: Option<Made>) -> Option<Vec<u8>> {
        let (moment, event) = self.pending.take()?;
        let event = self.latest.shorten(event)?;
        framed(&Step { moment, event, made })
    }
}
