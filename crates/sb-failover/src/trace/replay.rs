use super::frame::{Digest, Follows};
use super::read::{Opening, Recorded, Segment};
use crate::{BootTime, Command, Event, Machine, State};

/// One step, played again.
#[derive(Clone, Debug)]
pub struct Played {
    /// When it happened.
    pub moment: BootTime,
    /// What the machine was told.
    pub event: Event,
    /// Where it was.
    pub before: State,
    /// Where it went.
    pub after: State,
    /// What it wanted done.
    pub commands: Vec<Command>,
}

/// The machine of the replay did something else than the recorded one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Diverged {
    /// It came to another state.
    #[error("the replay comes to {played}, the recorded machine came to {recorded}")]
    State {
        /// The replay's.
        played: State,
        /// The recorded one.
        recorded: State,
    },
    /// It gave other commands, or wants to be called at another time.
    #[error("the replay gives other commands than the recorded machine")]
    Commands,
    /// A segment that continues another does not begin where that one ended.
    #[error("the state at the end of the segment before is not the one that this segment begins with")]
    Snapshot,
}

/// Plays segments again, in their order, through the machine itself.
#[derive(Debug, Default)]
pub struct Replay {
    machine: Option<Machine>,
    steps: std::collections::VecDeque<Recorded>,
}

impl Replay {
    /// Nothing played yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on with `segment`, which must come after the one before was played to its end. The machine is the one that
    /// the segment begins with.
    ///
    /// # Errors
    /// When it continues the one before, and the machines are not the same.
    pub fn enter(&mut self, segment: Segment) -> Result<Opening, Diverged> {
        let Segment { opening, machine, snapshot, steps, .. } = segment;
        let before = self.machine.replace(machine);
        self.steps = steps.into();
        match before {
            Some(before) if opening.follows == Follows::Continues && differs(&before, &snapshot) => {
                Err(Diverged::Snapshot)
            }
            Some(_) | None => Ok(opening),
        }
    }

    /// The next segment does not follow the one played last: nothing is compared.
    pub fn skip(&mut self) {
        self.machine = None;
    }

    /// Plays one step; [`None`] at the end of the segment.
    ///
    /// # Errors
    /// When it comes to something else than what was recorded; the step is told beside it.
    pub fn step(&mut self) -> Option<Result<Played, Box<(Played, Diverged)>>> {
        let machine = self.machine.as_mut()?;
        let Recorded { moment, event, state, digest } = self.steps.pop_front()?;
        let before = machine.state();
        machine.handle(event.clone(), moment);
        let (mut commands, mut played) = (Vec::new(), Digest::default());
        while let Some(command) = machine.poll_command() {
            played.command(&command);
            commands.push(command);
        }
        let after = machine.state();
        let step = Played { moment, event, before, after, commands };
        if after != state {
            return Some(Err(Box::new((step, Diverged::State { played: after, recorded: state }))));
        }
        if played.of(machine) != digest {
            return Some(Err(Box::new((step, Diverged::Commands))));
        }
        Some(Ok(step))
    }
}

fn differs(machine: &Machine, snapshot: &[u8]) -> bool {
    postcard::to_stdvec(machine).map_or(true, |bytes| bytes != snapshot)
}
