//! The timeline history files in one `pg_wal`, and the numbers that are kept from PostgreSQL.
//!
//! A promotion takes the number after the last of the files that follow the standby's own timeline without a gap
//! (`findNewestTimeLine`). So the number of a promotion is chosen by placing files before it. Such a placeholder names no
//! parent: PostgreSQL passes over its comment, standbys fetch it on their way to the timeline beyond it, and a start that
//! found it as the newest of all would fail. That is why what no true history follows is taken away before each start.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sb_pgtypes::TimelineId;

use crate::files::{read_if_present, sync_parent, write_durably};
use crate::{FileError, RunAs};

/// What stands in a placeholder.
const PLACEHOLDER: &str = "# kept free: the timeline of this number is another promotion's, or nobody's\n";

/// Most numbers that one promotion passes over.
const PASSED_OVER_MAX: u32 = 4_096;

/// The standby cannot take this number.
#[derive(Debug, thiserror::Error)]
pub enum TimelineError {
    /// The number, or a later one, is a timeline that this server has heard of.
    #[error("cannot promote to timeline {wanted}: timeline {known} exists already")]
    Known {
        /// The number.
        wanted: TimelineId,
        /// The newest one with a history here.
        known: u32,
    },
    /// Too many numbers lie between.
    #[error("cannot promote to timeline {wanted}: that is more than {PASSED_OVER_MAX} after {known}")]
    TooFar {
        /// The number.
        wanted: TimelineId,
        /// The newest one with a history here.
        known: u32,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The history files of one directory.
pub(crate) struct Histories {
    wal: PathBuf,
    owner: Option<RunAs>,
    true_ones: BTreeMap<u32, String>,
    placeholders: BTreeSet<u32>,
}

impl Histories {
    pub(crate) fn read(wal: &Path, owner: Option<RunAs>) -> Result<Self, FileError> {
        let mut histories =
            Self { wal: wal.to_owned(), owner, true_ones: BTreeMap::new(), placeholders: BTreeSet::new() };
        for entry in fs::read_dir(wal).map_err(FileError::on("read", wal))?.flatten() {
            let Some(number) = entry.file_name().to_str().and_then(number_in) else { continue };
            let Some(text) = read_if_present(&entry.path())? else { continue };
            if entries(&text).next().is_some() {
                histories.true_ones.insert(number, text);
            } else {
                histories.placeholders.insert(number);
            }
        }
        Ok(histories)
    }

    /// Sees to it that a start finds a true history as the newest one and a file for every number before it: a standby
    /// asks its upstream for each number between its own timeline and the upstream's, and gives up at the first that is
    /// not there. A copy of a server has only the newest.
    pub(crate) fn tidy(&self) -> Result<(), FileError> {
        let newest = self.newest();
        // From the top: whatever is left after a power cut has no gap.
        for number in self.placeholders.range(newest..).rev() {
            let path = self.path(*number);
            fs::remove_file(&path).map_err(FileError::on("remove", &path))?;
        }
        for number in (2..newest).filter(|number| !self.true_ones.contains_key(number)) {
            match self.as_an_ancestor(number) {
                Some(text) => write_durably(&self.path(number), text.as_bytes(), 0o600, self.owner)?,
                None if self.placeholders.contains(&number) => {}
                None => self.place(number)?,
            }
        }
        sync_parent(&self.path(newest))
    }

    /// Makes `wanted` the number that the next promotion takes.
    ///
    /// # Errors
    /// When this server knows of that timeline or a later one.
    pub(crate) fn keep_free_before(&self, wanted: TimelineId) -> Result<(), TimelineError> {
        let known = self.newest();
        let number = wanted.get();
        if number <= known {
            return Err(TimelineError::Known { wanted, known });
        }
        if number - known > PASSED_OVER_MAX {
            return Err(TimelineError::TooFar { wanted, known });
        }
        for above in self.placeholders.range(number..).rev() {
            let path = self.path(*above);
            fs::remove_file(&path).map_err(FileError::on("remove", &path))?;
        }
        // Downwards: should an earlier promotion of this server be carried out meanwhile, it takes the number that it was
        // given, or this one, and none between them.
        for between in (2..number).rev() {
            if !self.true_ones.contains_key(&between) && !self.placeholders.contains(&between) {
                self.place(between)?;
            }
        }
        Ok(sync_parent(&self.path(number))?)
    }

    /// The history of a timeline: its own file's text, or what one that came from it says.
    pub(crate) fn text_of(&self, timeline: TimelineId) -> Option<String> {
        let own = self.true_ones.get(&timeline.get()).cloned();
        own.or_else(|| self.as_an_ancestor(timeline.get()))
    }

    /// The newest number with a true history.
    fn newest(&self) -> u32 {
        self.true_ones.last_key_value().map_or(TimelineId::FIRST.get(), |(number, _)| *number)
    }

    /// What the history of `number` has to say, from that of a timeline that it is a part of.
    fn as_an_ancestor(&self, number: u32) -> Option<String> {
        let later = self.true_ones.range(number..).map(|(_, text)| text);
        later.filter_map(|text| before(text, number)).next()
    }

    /// Not synced one by one: what a power cut takes is placed again before the next start.
    fn place(&self, number: u32) -> Result<(), FileError> {
        let path = self.path(number);
        let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let mut file = opened.map_err(FileError::on("write", &path))?;
        self.owner.map_or(Ok(()), |owner| owner.own(&path))?;
        file.write_all(PLACEHOLDER.as_bytes()).map_err(FileError::on("write", &path))
    }

    fn path(&self, number: u32) -> PathBuf {
        self.wal.join(format!("{number:08X}.history"))
    }
}

/// The number in the name of a history file.
fn number_in(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".history").filter(|digits| digits.len() == 8)?;
    u32::from_str_radix(digits, 16).ok()
}

/// The lines of a history that count, with the number that each begins with.
fn entries(text: &str) -> impl Iterator<Item = (Option<u32>, &str)> {
    let counts = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    text.lines()
        .filter(counts)
        .map(|line| (line.split_whitespace().next().and_then(|n| n.parse().ok()), line))
}

/// The part of a history before `number` was left; [`None`] when it never came by, or came from nowhere.
fn before(text: &str, number: u32) -> Option<String> {
    let at = entries(text).position(|(from, _)| from == Some(number)).filter(|at| *at > 0)?;
    Some(entries(text).take(at).fold(String::new(), |text, (_, line)| text + line + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with these histories.
    fn wal(files: &[(u32, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (number, text) in files {
            fs::write(directory.path().join(format!("{number:08X}.history")), text).unwrap();
        }
        directory
    }

    fn read(wal: &tempfile::TempDir) -> Histories {
        Histories::read(wal.path(), None).unwrap()
    }

    fn numbers(wal: &tempfile::TempDir) -> (Vec<u32>, Vec<u32>) {
        let found = read(wal);
        (found.true_ones.into_keys().collect(), found.placeholders.into_iter().collect())
    }

    fn timeline(number: u32) -> TimelineId {
        number.try_into().unwrap()
    }

    const TWO: &str = "1\t0/3000000\tno recovery target specified\n";
    const SEVEN: &str =
        "1\t0/3000000\tno recovery target specified\n\n4\t0/4000000\tno recovery target specified\n";

    #[test]
    fn a_promotion_passes_over_the_numbers_before_its_own() {
        let wal = wal(&[(2, TWO), (9, PLACEHOLDER)]);
        fs::write(wal.path().join("000000020000000000000003"), "a segment").unwrap();
        read(&wal).keep_free_before(timeline(6)).unwrap();
        assert_eq!(numbers(&wal), (vec![2], vec![3, 4, 5]));
        read(&wal).keep_free_before(timeline(8)).unwrap();
        assert_eq!(numbers(&wal), (vec![2], vec![3, 4, 5, 6, 7]));
    }

    #[test]
    fn a_number_that_is_known_or_far_away_is_refused() {
        let wal = wal(&[(2, TWO), (5, SEVEN)]);
        for number in [2, 4, 5] {
            let refused = read(&wal).keep_free_before(timeline(number)).unwrap_err();
            assert!(matches!(refused, TimelineError::Known { known: 5, .. }), "{refused}");
        }
        let refused = read(&wal).keep_free_before(timeline(5 + PASSED_OVER_MAX + 1)).unwrap_err();
        assert!(matches!(refused, TimelineError::TooFar { known: 5, .. }), "{refused}");
        assert_eq!(numbers(&wal), (vec![2, 5], vec![]), "nothing was changed");
    }

    #[test]
    fn before_a_start_no_placeholder_is_the_newest() {
        let wal = wal(&[(2, TWO), (3, PLACEHOLDER), (4, "")]);
        read(&wal).tidy().unwrap();
        assert_eq!(numbers(&wal), (vec![2], vec![]));
    }

    #[test]
    fn before_a_start_every_earlier_number_has_a_file_and_ancestors_have_their_own() {
        let wal = wal(&[(4, PLACEHOLDER), (6, PLACEHOLDER), (7, SEVEN)]);
        assert_eq!(read(&wal).text_of(timeline(4)).as_deref(), Some(TWO), "by the history of 7");
        assert_eq!(read(&wal).text_of(timeline(6)), None);
        read(&wal).tidy().unwrap();
        assert_eq!(numbers(&wal), (vec![4, 7], vec![2, 3, 5, 6]));
        assert_eq!(fs::read_to_string(wal.path().join("00000004.history")).unwrap(), TWO);
    }
}
