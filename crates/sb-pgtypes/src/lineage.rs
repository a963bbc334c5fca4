use serde::{Deserialize, Serialize};

use crate::{Lsn, TimelineId};

/// Where one timeline was left for the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fork {
    /// The timeline that was left.
    pub from: TimelineId,
    /// The position up to which it counts.
    pub at: Lsn,
}

/// A timeline together with how it came to be: what a `.history` file says.
///
/// Two servers are on one line only if one lineage continues the other, whatever their numbers say.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lineage {
    /// Oldest first; timelines and positions never fall.
    forks: Vec<Fork>,
    current: TimelineId,
}

/// The parts do not make a lineage, or the text is not a `.history` file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineageError {
    /// Timelines or positions fall, or the current timeline is not the newest.
    #[error("timelines and positions of a history must rise")]
    NotRising,
    /// A line of a `.history` file has another form than `timeline LSN reason`.
    #[error("line {line} is not of the form `timeline LSN reason`")]
    BadLine {
        /// Line number, from 1.
        line: usize,
    },
}

impl Lineage {
    /// The lineage of a cluster fresh from `initdb`.
    #[must_use]
    pub const fn first() -> Self {
        Self { forks: Vec::new(), current: TimelineId::FIRST }
    }

    /// A lineage from its parts, oldest fork first.
    ///
    /// # Errors
    /// [`LineageError::NotRising`] when timelines or positions fall.
    pub fn new(forks: Vec<Fork>, current: TimelineId) -> Result<Self, LineageError> {
        let rising = forks.windows(2).all(|w| w[0].from < w[1].from && w[0].at <= w[1].at);
        let newest = forks.last().is_none_or(|last| last.from < current);
        if rising && newest { Ok(Self { forks, current }) } else { Err(LineageError::NotRising) }
    }

    /// Reads the text of the file `<current>.history` (`#` comments and blank lines are passed over).
    ///
    /// # Errors
    /// The line that is not of the file's form, or a history that falls.
    pub fn parse_history(current: TimelineId, text: &str) -> Result<Self, LineageError> {
        let mut forks = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = || LineageError::BadLine { line: number + 1 };
            let mut fields = line.split_whitespace();
            let from = fields.next().and_then(|f| f.parse::<u32>().ok()).ok_or_else(bad)?;
            let at = fields.next().and_then(|f| f.parse().ok()).ok_or_else(bad)?;
            forks.push(Fork { from: from.try_into().map_err(|_| bad())?, at });
        }
        Self::new(forks, current)
    }

    /// This lineage after a promotion that left it at `at` for timeline `next`.
    ///
    /// # Errors
    /// [`LineageError::NotRising`] when `next` is not newer or `at` lies before the last fork.
    pub fn forked(&self, at: Lsn, next: TimelineId) -> Result<Self, LineageError> {
        let mut forks = self.forks.clone();
        forks.push(Fork { from: self.current, at });
        Self::new(forks, next)
    }

    /// The timeline that is written now.
    #[must_use]
    pub const fn current(&self) -> TimelineId {
        self.current
    }

    /// The forks, oldest first.
    #[must_use]
    pub fn forks(&self) -> &[Fork] {
        &self.forks
    }

    /// Up to where a server on `self` and one on `other` share their log: [`None`] when one lineage is a
    /// prefix of the other and nothing bounds it but the shorter one's end.
    ///
    /// For a prefix relation the bound is the position at which the longer lineage left the shorter one's
    /// current timeline.
    #[must_use]
    pub fn shared_until(&self, other: &Lineage) -> Option<Lsn> {
        let same = self.forks.iter().zip(&other.forks).take_while(|(a, b)| a == b).count();
        match (self.forks.get(same), other.forks.get(same)) {
            (None, None) if self.current == other.current => None,
            (None, None) => Some(self.forks.last().map_or(Lsn::INVALID, |f| f.at)),
            (None, Some(b)) => Some(self.bound_at(b)),
            (Some(a), None) => Some(other.bound_at(a)),
            (Some(a), Some(b)) if a.from == b.from => Some(a.at.min(b.at)),
            (Some(_), Some(_)) => Some(self.forks[..same].last().map_or(Lsn::INVALID, |f| f.at)),
        }
    }

    fn bound_at(&self, next_fork: &Fork) -> Lsn {
        let left_here = next_fork.from == self.current;
        if left_here { next_fork.at } else { self.forks.last().map_or(Lsn::INVALID, |f| f.at) }
    }
}
