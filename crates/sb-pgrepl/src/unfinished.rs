use serde::{Deserialize, Serialize};

/// What a data directory was in the middle of when the last note about it was made.
///
/// The note is a file beside the data directory (`<data_dir>.unfinished`), not in it: `pg_rewind` removes from the
/// directory what the source does not have. While it stands, the directory is never started and its server can never be
/// a candidate; [`crate::Instance::clone_from`] is the way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "operation")]
pub enum Unfinished {
    /// Another copy is being made beside it; the directory itself is as it was.
    Clone {
        /// The server that is copied.
        source: String,
    },
    /// It is being rewritten in place: it is unusable until the end.
    Rewind {
        /// The server that it is made alike to.
        source: String,
    },
}
