use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use sb_topology::ServerName;

use super::{Progress, Record};
use crate::{KeyError, PublicKey};

/// A swap that no other server has followed after so long is taken back, in milliseconds.
pub const SWAP_MS_MAX: u64 = 30_000;

/// Where a server stands in replacing its own key. Both private keys are in files of their own until the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Whose key.
    pub server: ServerName,
    /// The key before.
    pub old: PublicKey,
    /// The key after.
    pub new: PublicKey,
    /// How far it is.
    pub step: Step,
}

/// One step, written down before its [`Action`] is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The others are told the new key and add it.
    Announce,
    /// The interface goes over to the new key, and the others move.
    Swap,
    /// The new key becomes the server's only one.
    Finish,
    /// Nobody followed: the interface goes back to the old key.
    TurnBack,
    /// The record is taken away, the new key thrown away.
    Withdraw,
}

/// What a step asks for. Doing it again does no harm, so after a crash it is done again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The interface has `key`, and the cluster's record is this.
    Announce {
        /// For the store.
        record: Record,
        /// The interface's own key.
        key: PublicKey,
    },
    /// The interface has this key, and sends every peer something at once, so that they hear it.
    UseKey(PublicKey),
    /// The cluster's documents have this key for the server, the record is gone, and so is the file of the other key.
    Settle {
        /// The key that stays.
        keep: PublicKey,
        /// The key whose file is removed, last of all.
        discard: PublicKey,
    },
}

/// What an owner goes by.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// How far each other server has come, by what it published.
    pub progress: BTreeMap<ServerName, Progress>,
    /// Other servers that are there, by somebody's word: who is away is not waited for.
    pub present: BTreeSet<ServerName>,
    /// How many other servers there are.
    pub others: usize,
    /// Time since the step began or the agent started, in milliseconds.
    pub step_ms: u64,
    /// Whether the step's action has been done since the agent started.
    pub done: Done,
}

/// Whether a step's action has been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Done {
    /// Not that anybody knew.
    #[default]
    Unknown,
    /// It has.
    Yes,
}

impl Owner {
    /// The beginning of a rotation.
    #[must_use]
    pub const fn begin(server: ServerName, old: PublicKey, new: PublicKey) -> Self {
        Self { server, old, new, step: Step::Announce }
    }

    /// What the step asks for.
    #[must_use]
    pub fn action(&self) -> Action {
        let record = || Record { server: self.server.clone(), old: self.old, new: self.new };
        match self.step {
            Step::Announce => Action::Announce { record: record(), key: self.old },
            Step::Swap => Action::UseKey(self.new),
            Step::TurnBack => Action::UseKey(self.old),
            Step::Finish => Action::Settle { keep: self.new, discard: self.old },
            Step::Withdraw => Action::Settle { keep: self.old, discard: self.new },
        }
    }

    /// The key of the interface in this step, also after a restart.
    ///
    /// The documents name [`Owner::old`] until the end: [`crate::DesiredInterface::new`] is given that one, and
    /// [`crate::DesiredInterface::target`] the private half of this.
    #[must_use]
    pub const fn own_key(&self) -> PublicKey {
        match self.step {
            Step::Announce | Step::TurnBack | Step::Withdraw => self.old,
            Step::Swap | Step::Finish => self.new,
        }
    }

    /// The step that follows now, to be written down before it is acted on; [`None`] while this one goes on, and at the
    /// end: after [`Step::Finish`] and [`Step::Withdraw`] are done, the state is removed.
    #[must_use]
    pub fn next(&self, facts: &Facts) -> Option<Self> {
        if facts.done == Done::Unknown {
            return None;
        }
        let all = |least| facts.present.iter().all(|server| facts.progress.get(server) >= Some(&least));
        let nobody_there = facts.present.is_empty() && facts.others > 0;
        let moved = facts.progress.values().any(|progress| *progress == Progress::Moved);
        let step = match self.step {
            Step::Announce if all(Progress::Prepared) && !nobody_there => Step::Swap,
            Step::Swap if all(Progress::Moved) && !nobody_there => Step::Finish,
            Step::Swap if !moved && facts.step_ms >= SWAP_MS_MAX => Step::TurnBack,
            Step::TurnBack if !moved => Step::Withdraw,
            Step::Announce | Step::Swap | Step::TurnBack | Step::Finish | Step::Withdraw => return None,
        };
        Some(Self { step, ..self.clone() })
    }

    /// Ends a rotation that has not swapped yet.
    #[must_use]
    pub fn abandon(&self) -> Option<Self> {
        (self.step == Step::Announce).then(|| Self { step: Step::Withdraw, ..self.clone() })
    }
}

const STEPS: [(&str, Step); 5] = [
    ("announce", Step::Announce),
    ("swap", Step::Swap),
    ("finish", Step::Finish),
    ("turn-back", Step::TurnBack),
    ("withdraw", Step::Withdraw),
];

/// One line: the step, the server, both public keys.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = STEPS.iter().find(|(_, step)| *step == self.step).map_or("", |(word, _)| word);
        write!(f, "{step} {} {} {}", self.server, self.old, self.new)
    }
}

/// The text is not the state of a rotation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OwnerTextError {
    /// Not a step, a server and two keys.
    #[error("not the state of a key rotation: a step, a server and two public keys")]
    Form,
    /// A key that is none.
    #[error("not the state of a key rotation")]
    Key(#[source] KeyError),
}

impl FromStr for Owner {
    type Err = OwnerTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<_> = text.split_whitespace().collect();
        let [step, server, old, new] = words[..] else { return Err(OwnerTextError::Form) };
        let step = STEPS.iter().find(|(word, _)| *word == step).ok_or(OwnerTextError::Form)?.1;
        Ok(Self {
            server: ServerName::new(server).map_err(|_| OwnerTextError::Form)?,
            old: old.parse().map_err(OwnerTextError::Key)?,
            new: new.parse().map_err(OwnerTextError::Key)?,
            step,
        })
    }
}
