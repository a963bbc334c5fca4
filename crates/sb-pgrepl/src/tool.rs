use std::path::PathBuf;
use std::time::Duration;

/// One run of a PostgreSQL program did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The system could not run it.
    #[error("could not run `{}`", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It was ended because its time was over.
    #[error("`{}` did not finish within {within:?}", program.display())]
    Deadline {
        /// The program.
        program: PathBuf,
        /// The limit.
        within: Duration,
    },
    /// It said no.
    #[error("`{}` failed ({how}): {words}", program.display())]
    Failed {
        /// The program.
        program: PathBuf,
        /// Its exit status or signal.
        how: String,
        /// The end of what it wrote to standard error.
        words: String,
    },
}
