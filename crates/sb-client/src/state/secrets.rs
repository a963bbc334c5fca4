use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::state::{SECRETS_FILE, StateFileError, file};

/// A password. `Debug` and `Display` never show it; it is wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(Zeroizing<String>);

/// Passwords of PostgreSQL's roles, the same on every server: `secrets.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// Of `replicator`, which streams WAL.
    pub replicator: Secret,
    /// Of `sb_rewind`, which `pg_rewind` connects as.
    pub rewind: Secret,
    /// Of `sb_monitor`, which reads statistics.
    pub monitor: Secret,
    /// Of the role that owns the application's database.
    pub owner: Secret,
}

impl Secret {
    /// Takes a password.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// A random password of 256 bits, as 64 hexadecimal digits.
    #[must_use]
    pub fn random() -> Self {
        Self::new(super::tokens::random_hex())
    }

    /// The password itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Secrets {
    /// Random passwords; the owner's is `owner` when the application already has one.
    #[must_use]
    pub fn random(owner: Option<Secret>) -> Self {
        Self {
            replicator: Secret::random(),
            rewind: Secret::random(),
            monitor: Secret::random(),
            owner: owner.unwrap_or_else(Secret::random),
        }
    }

    /// Reads `secrets.json` from a state directory.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn load(state: &Path) -> Result<Self, StateFileError> {
        file::load(&state.join(SECRETS_FILE))
    }
}
