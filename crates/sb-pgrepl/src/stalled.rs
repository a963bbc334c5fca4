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

impl Instance {
    /// Why this standby does not stream, when its log says that it never will. PostgreSQL has no view for it; the
    /// newest lines of its log are the only place.
    ///
    /// Ask only of a standby that has not streamed for some seconds: a line may be older than the last success.
    #[must_use]
    pub fn why_not_streaming(&self) -> Option<NotStreaming> {
        let text = self.log_tail()?;
        // What streamed afterwards has overcome whatever stands before.
        let since = text.rfind("started streaming WAL").map_or(text.as_str(), |at| &text[at..]);
        let last =
            SIGNS.iter().filter_map(|(sign, why)| Some((since.rfind(sign)?, *why))).max_by_key(|s| s.0);
        last.map(|(_, why)| why)
    }

    fn log_tail(&self) -> Option<String> {
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
