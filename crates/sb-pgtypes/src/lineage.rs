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
    /// Only the first timeline comes from none: the file just keeps its number from being used.
    #[error("the history names no timeline that this one came from")]
    NoParent,
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
    /// The line that is not of the file's form, or a history that falls or names nothing.
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
        if forks.is_empty() && current != TimelineId::FIRST {
            return Err(LineageError::NoParent);
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

    /// Up to where logs on the two lineages are the same; [`None`] when the lineages are, so that nothing bounds it
    /// but the end of the shorter log.
    ///
    /// When one lineage continues the other, that is where it left the other's current timeline.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage(forks: &[(u32, u64)], current: u32) -> Lineage {
        let timeline = |number: u32| TimelineId::try_from(number).unwrap();
        let forks = forks.iter().map(|(from, at)| Fork { from: timeline(*from), at: Lsn::new(*at) });
        Lineage::new(forks.collect(), timeline(current)).unwrap()
    }

    #[test]
    fn a_history_file_is_read() {
        let three = TimelineId::try_from(3).unwrap();
        let text =
            "1\t0/3000000\tno recovery target specified\n\n# a comment\n2 0/5000A38 before 2026-11-23\n";
        assert_eq!(Lineage::parse_history(three, text), Ok(lineage(&[(1, 0x300_0000), (2, 0x500_0A38)], 3)));
    }

    #[test]
    fn a_history_that_makes_no_sense_is_refused() {
        let three = TimelineId::try_from(3).unwrap();
        for (text, error) in [
            ("1 0/3000000\nx 0/5\n", LineageError::BadLine { line: 2 }),
            ("0 0/3000000\n", LineageError::BadLine { line: 1 }),
            ("1 3000000\n", LineageError::BadLine { line: 1 }),
            ("2 0/3000000\n1 0/4000000\n", LineageError::NotRising),
            ("1 0/3000000\n2 0/2000000\n", LineageError::NotRising),
            ("3 0/3000000\n", LineageError::NotRising),
            ("# a number that is kept free\n", LineageError::NoParent),
            ("", LineageError::NoParent),
        ] {
            assert_eq!(Lineage::parse_history(three, text), Err(error), "{text}");
        }
    }

    #[test]
    fn logs_are_shared_up_to_the_first_difference() {
        let old = lineage(&[], 1);
        let new = lineage(&[(1, 100)], 2);
        let newer = lineage(&[(1, 100), (2, 200)], 3);
        let sibling = lineage(&[(1, 140)], 2);
        for (a, b, shared) in [
            (&new, &new, None),
            (&old, &new, Some(100)),
            (&old, &newer, Some(100)),
            (&new, &newer, Some(200)),
            (&new, &sibling, Some(100)),
            (&newer, &lineage(&[(1, 100), (2, 150)], 4), Some(150)),
            (&lineage(&[(1, 100)], 4), &newer, Some(100)),
            (&lineage(&[], 9), &new, Some(0)),
        ] {
            let shared = shared.map(Lsn::new);
            assert_eq!((a.shared_until(b), b.shared_until(a)), (shared, shared), "{a:?} {b:?}");
        }
    }
}
