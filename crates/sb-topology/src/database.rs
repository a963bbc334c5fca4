use std::fmt;

use zeroize::Zeroizing;

/// `database.json`: how the application reaches its database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseSettings {
    /// Name or address. In a cluster: the proxy on the same machine.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The application's database.
    pub database: String,
    /// The role that owns it.
    pub username: String,
    /// The role's password; empty where it is not known, as in a topology read from the replicated store.
    pub password: Password,
    /// Whether the application asks for TLS.
    pub ssl: bool,
}

impl Default for DatabaseSettings {
    /// The proxy of the same machine, and `showbuild` for database and role.
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: Self::PROXY_PORT,
            database: "showbuild".to_owned(),
            username: "showbuild".to_owned(),
            password: Password::default(),
            ssl: false,
        }
    }
}

impl DatabaseSettings {
    /// Where every agent's read-write proxy listens on loopback.
    pub const PROXY_PORT: u16 = 6432;
}

/// A password: erased from memory when dropped, never shown by [`fmt::Debug`].
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes a password.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "(none)" } else { "(hidden)" })
    }
}
