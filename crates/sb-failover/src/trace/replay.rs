use std::panic::{AssertUnwindSafe, catch_unwind};

use super::frame::{Digest, Follows, Made};
use super::read::{Opening, Recorded, Segment, Steps, TraceError};
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
    /// Where it went; [`None`] when it panicked, as the recorded one did.
    pub after: Option<State>,
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
    /// The recorded machine panicked at this step.
    #[error("the recorded machine panicked here, the replay comes to {played}")]
    Survives {
        /// The replay's state.
        played: State,
    },
    /// The replay panics at this step.
    #[error("the replay panics here, the recorded machine came to {recorded}")]
    Panics {
        /// The recorded machine's state.
        recorded: State,
    },
    /// A segment that continues another does not begin where that one ended.
    #[error("the state at the end of the segment before is not the one that this segment begins with")]
    Snapshot,
}

/// Why a segment is not played further.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StepError {
    /// The next step cannot be read.
    #[error(transparent)]
    Unread(#[from] TraceError),
    /// This step comes to something else than what was recorded.
    #[error("{1}")]
    Diverged(Box<Played>, #[source] Diverged),
}

/// Plays segments again, in their order, through the machine itself.
#[derive(Debug, Default)]
pub struct Replay {
    machine: Option<Machine>,
    steps: Option<Steps>,
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
        let Segment { opening, machine, snapshot, steps } = segment;
        let before = self.machine.replace(machine);
        self.steps = Some(steps);
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

    /// Whether the segment, played to its end, ends with a frame that was not written whole.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        self.steps.as_ref().is_some_and(Steps::is_torn)
    }

    /// Plays one step; [`None`] at the end of the segment.
    ///
    /// # Errors
    /// When it cannot be read, or comes to something else than what was recorded.
    pub fn step(&mut self) -> Option<Result<Played, StepError>> {
        let (machine, steps) = (self.machine.as_mut()?, self.steps.as_mut()?);
        let Recorded { moment, event, made } = match steps.next() {
            Ok(recorded) => recorded?,
            Err(error) => return Some(Err(error.into())),
        };
        let before = machine.state();
        let mut step = Played { moment, event, before, after: None, commands: Vec::new() };
        let played = catch_unwind(AssertUnwindSafe(|| play(machine, &mut step))).ok();
        step.after = played.map(|played| played.state);
        if played.is_none() {
            // What is left of it is in no state to go on.
            self.machine = None;
        }
        let diverged = match (made, played) {
            (None, None) => None,
            (None, Some(played)) => Some(Diverged::Survives { played: played.state }),
            (Some(made), None) => Some(Diverged::Panics { recorded: made.state }),
            (Some(made), Some(played)) if made.state != played.state => {
                Some(Diverged::State { played: played.state, recorded: made.state })
            }
            (Some(made), Some(played)) => (made != played).then_some(Diverged::Commands),
        };
        Some(match diverged {
            None => Ok(step),
            Some(diverged) => Err(StepError::Diverged(Box::new(step), diverged)),
        })
    }
}

/// Gives the machine a step's event, and the step the machine's commands.
fn play(machine: &mut Machine, step: &mut Played) -> Made {
    machine.handle(step.event.clone(), step.moment);
    let mut digest = Digest::default();
    while let Some(command) = machine.poll_command() {
        digest.command(&command);
        step.commands.push(command);
    }
    Made { state: machine.state(), digest: digest.of(machine) }
}

fn differs(machine: &Machine, snapshot: &[u8]) -> bool {
    postcard::to_stdvec(machine).map_or(true, |bytes| bytes != snapshot)
}
