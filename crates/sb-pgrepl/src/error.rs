use std::io;
use std::path::{Path, PathBuf};

/// A file or directory could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} `{}`", path.display())]
pub struct FileError {
    /// What was tried, as a verb: `write`, `rename`, `open`.
    pub action: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl FileError {
    /// Whether the reason is a full disk or a spent quota.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    pub(crate) fn on(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { action, path: path.to_owned(), source }
    }
}

/// A question to this server's own PostgreSQL got no good answer.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// No session: the socket is absent, or PostgreSQL refused it.
    #[error("could not open a session to PostgreSQL")]
    Connect(#[source] sqlx::Error),
    /// PostgreSQL answered with an error, or the session broke.
    #[error("could not {action}")]
    Query {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// PostgreSQL's words.
        #[source]
        source: sqlx::Error,
    },
    /// No answer in time. Whether the statement took effect is unknown.
    #[error("could not {action} in time")]
    Deadline {
        /// What was tried, as a verb phrase.
        action: &'static str,
    },
    /// The answer has another form than expected.
    #[error("could not read PostgreSQL's answer to `{action}`: {detail}")]
    Answer {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// What does not fit.
        detail: String,
    },
}
