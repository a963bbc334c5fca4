//! One server's machine.

mod explain;
mod state;

use std::collections::VecDeque;

use sb_topology::ServerName;

pub use explain::{Explanation, Gate};
pub use state::{ParkReason, State};

use crate::record::{Durability, Member};
use crate::{BootTime, Command, Event, Persisted, Session, Timings};

/// Whether this server makes the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Founding {
    /// This one does, when the record has none.
    Founder {
        /// What a commit shall wait for.
        durability: Durability,
        /// n of `ANY n (S)`; 0 for [`Durability::Async`].
        number: usize,
        /// The bound of automatic asynchronous failover.
        lag_bytes_max: u64,
    },
    /// Another one does.
    Joiner,
}

/// What a machine must know from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This server.
    pub me: ServerName,
    /// What it registers as.
    pub member: Member,
    /// This run of the agent: larger than every one before on this server.
    pub session: Session,
    /// Whether this server makes the database.
    pub founding: Founding,
    /// The times until the record says others.
    pub timings: Timings,
}

/// One server's part in failover.
///
/// `handle` an event, then take commands until `poll_command` gives none, then sleep until `poll_timeout` or
/// the next event. Does no I/O and holds no clock: the same calls give the same commands.
#[derive(Debug)]
pub struct Machine {
    config: Config,
    commands: VecDeque<Command>,
    state: State,
}

impl Machine {
    /// A machine at the start of an agent's run. `persisted` is what its predecessor stored.
    #[must_use]
    pub fn new(config: Config, persisted: Persisted, now: BootTime) -> Self {
        let _ = (persisted, now);
        Self { config, commands: VecDeque::new(), state: State::Starting }
    }

    /// Takes an event. `now` never falls.
    pub fn handle(&mut self, event: Event, now: BootTime) {
        let _ = (event, now);
    }

    /// The next command; [`None`] when there is none until the next event.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// When `handle` must be called with [`Event::Timeout`] unless another event comes first.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<BootTime> {
        None
    }

    /// Where the machine is.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Why the machine is where it is, and what it waits for.
    #[must_use]
    pub fn explain(&self, now: BootTime) -> Explanation {
        let _ = (now, &self.config);
        Explanation { state: self.state, gates: Vec::new(), next: String::new() }
    }
}
