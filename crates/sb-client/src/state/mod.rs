//! The files under a server's state directory that say who it is and whom it believes.
//!
//! [`crate::bundle`] makes them, the agent reads them. Each is small JSON, readable by its owner only where it
//! holds a secret.

mod file;
mod identity;
mod secrets;
mod tokens;

pub use file::StateFileError;
pub use identity::Identity;
pub use secrets::{Secret, Secrets};
pub use tokens::{Scope, Token, TokenEntry, Tokens};

/// File name of [`Identity`].
pub const IDENTITY_FILE: &str = "identity.json";
/// File name of [`Secrets`].
pub const SECRETS_FILE: &str = "secrets.json";
/// File name of [`Tokens`].
pub const TOKENS_FILE: &str = "tokens.json";
/// Directory of the three files that [`crate::trust::Credentials`] are read from.
pub const TLS_DIRECTORY: &str = "tls";
