use serde::{Deserialize, Serialize};

/// One change of primary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Number of the primaryship that began.
    pub term: u64,
    /// Who became primary.
    pub primary: String,
    /// Who was primary; absent for the first.
    pub previous: Option<String>,
    /// UTC, RFC 3339, by the new primary's wall clock; absent when it was not noted.
    pub at: Option<String>,
    /// One word, such as `bootstrap`, `switchover`, `failover`, `forced`.
    pub reason: String,
    /// Who asked, when somebody did.
    pub by: Option<String>,
    /// Where the new primary's timeline begins, as `TIMELINE@X/Y`.
    pub position: Option<String>,
}
