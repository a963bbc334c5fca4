use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use crate::Instance;

/// How much of the end of the log is read, in bytes.
const LOG_TAIL_BYTES_MAX: u64 = 16 * 1024;

/// Why a standby will never stream again by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStreaming {
    /// The upstream has removed the segment that is needed next.
    WalRemoved,
    /// This server's log is past the point at which the upstream's timeline was left.
    Diverged,
}

/// What PostgreSQL's WAL receiver and startup process write when only a repair helps.
const SIGNS: [(&str, NotStreaming); 4] = [
    ("has already been removed", NotStreaming::WalRemoved),
    ("is ahead of the WAL flush position of this server", NotStreaming::Diverged),
    ("forked off current database system timeline", NotStreaming::Diverged),
    ("is not a child of this server's history", NotStreaming::Diverged),
];

/// After these, what stands before is of the past: it streamed, was started anew (perhaps on another copy), or was pointed
/// at another upstream.
const FRESH_STARTS: [&str; 3] =
    ["started streaming WAL", "starting PostgreSQL", "parameter \"primary_conninfo\" changed"];

impl Instance {
    /// Why this standby does not stream, when its log says that it never will. PostgreSQL has no view for it; the
    /// newest lines of its log are the only place.
    ///
    /// Ask only of a standby that has not streamed for some seconds: its attempts must have had the time to fail.
    #[must_use]
    pub fn why_not_streaming(&self) -> Option<NotStreaming> {
        why(&self.log_tail()?)
    }

    pub(crate) fn log_tail(&self) -> Option<String> {
        let mut file = File::open(self.newest_log()?).ok()?;
        let length = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES_MAX))).ok()?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn newest_log(&self) -> Option<PathBuf> {
        let entries = std::fs::read_dir(&self.config().log_dir).ok()?.flatten();
        let logs = entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "log"));
        let dated = logs.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())));
        dated.max().map(|(_, path)| path)
    }
}

fn why(log: &str) -> Option<NotStreaming> {
    let since = FRESH_STARTS.iter().filter_map(|mark| log.rfind(mark)).max().map_or(log, |at| &log[at..]);
    let last = SIGNS.iter().filter_map(|(sign, why)| Some((since.rfind(sign)?, *why))).max_by_key(|s| s.0);
    last.map(|(_, why)| why)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REMOVED: &str = "FATAL:  could not receive data from WAL stream: ERROR:  requested WAL segment \
                           000000010000000000000003 has already been removed\n";

    #[test]
    fn the_newest_sign_tells_why() {
        let forked = "LOG:  new timeline 2 forked off current database system timeline 1 before current recovery point\n";
        assert_eq!(why(&(REMOVED.to_owned() + forked)), Some(NotStreaming::Diverged));
        assert_eq!(why(&(forked.to_owned() + REMOVED)), Some(NotStreaming::WalRemoved));
    }

    #[test]
    fn a_sign_from_before_a_fresh_start_tells_nothing() {
        let marks = [
            "LOG:  started streaming WAL from primary at 0/3000000 on timeline 1\n",
            "LOG:  starting PostgreSQL 15.14 on x86_64-pc-linux-gnu\n",
            "LOG:  parameter \"primary_conninfo\" changed to \"host='b'\"\n",
        ];
        for mark in marks {
            assert_eq!(why(&(REMOVED.to_owned() + mark)), None, "{mark}");
            assert_eq!(why(&(mark.to_owned() + REMOVED)), Some(NotStreaming::WalRemoved), "{mark}");
        }
    }
}
