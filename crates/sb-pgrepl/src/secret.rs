use std::fmt;

/// A password. Never shown by `Debug`, never on a command line, never in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a password; any text without NUL and line ends works with PostgreSQL's password file.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// The passwords of the roles that this crate makes, the same on every server of the cluster.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// Of `replicator`.
    pub replicator: Secret,
    /// Of `sb_rewind`.
    pub rewind: Secret,
    /// Of `sb_monitor`.
    pub monitor: Secret,
}
