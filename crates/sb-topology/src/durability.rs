use std::fmt;

use serde::{Deserialize, Serialize};

/// What a confirmed commit promises, one word for the whole cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// It is on the primary. A failover may lose the newest transactions, within the lag bound.
    Async,
    /// It is on `n` other servers. When these stay away, the store records that the promise is off, and commits
    /// go on.
    Sync,
    /// It is on `n` other servers, always: without them commits wait.
    Strict,
}

impl Durability {
    /// The word used in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Async => "async",
            Self::Sync => "sync",
            Self::Strict => "strict",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
