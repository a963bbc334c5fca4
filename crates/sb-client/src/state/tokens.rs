use std::fmt::Write as _;
use std::path::Path;

use rand::RngCore as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::state::{Secret, StateFileError, TOKENS_FILE, file};

/// What a bearer token allows. Ordered: a later scope includes the earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look.
    Read,
    /// Also switch over, pause and resume: nothing that can lose data.
    Operate,
    /// Everything.
    Admin,
}

/// A bearer token as its owner has it: `sb_` and 64 hexadecimal digits. Agents keep only its SHA-256; with 256
/// random bits nothing slower is needed.
#[derive(Debug, Clone)]
pub struct Token(Secret);

/// A token as an agent knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenEntry {
    /// Whose it is; shown in the journal.
    pub name: String,
    /// SHA-256 of the token's text, in lower-case hexadecimal.
    pub sha256: String,
    /// What it allows.
    pub scope: Scope,
}

/// The tokens that an agent accepts: `tokens.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// In no order.
    pub tokens: Vec<TokenEntry>,
}

impl Token {
    /// A new token.
    #[must_use]
    pub fn random() -> Self {
        Self(Secret::new(format!("sb_{}", random_hex())))
    }

    /// Takes a token's text, without the white space that editors leave around it.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self(Secret::new(text.trim().to_owned()))
    }

    /// The token itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// What agents keep of it.
    #[must_use]
    pub fn entry(&self, name: &str, scope: Scope) -> TokenEntry {
        TokenEntry { name: name.into(), sha256: digest(self.expose()), scope }
    }
}

impl Tokens {
    /// Reads `tokens.json` from a state directory.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn load(state: &Path) -> Result<Self, StateFileError> {
        file::load(&state.join(TOKENS_FILE))
    }

    /// The entry of a token that somebody presents. Looks at every entry and every byte, so that the time taken
    /// tells nothing.
    #[must_use]
    pub fn find(&self, presented: &str) -> Option<&TokenEntry> {
        let wanted = digest(presented);
        self.tokens.iter().fold(None, |found, entry| {
            let same = same_in_constant_time(entry.sha256.as_bytes(), wanted.as_bytes());
            if same { Some(entry) } else { found }
        })
    }
}

fn same_in_constant_time(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |seen, (a, b)| seen | (a ^ b)) == 0
}

fn digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

/// 256 bits from the thread's generator, which the system seeds, as 64 hexadecimal digits.
pub(super) fn random_hex() -> String {
    let mut bytes = [0u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    hex(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_is_found() {
        let token = Token::random();
        let tokens =
            Tokens { tokens: vec![Token::random().entry("a", Scope::Read), token.entry("b", Scope::Admin)] };
        assert_eq!(tokens.find(token.expose()).map(|entry| entry.name.as_str()), Some("b"));
        assert_eq!(tokens.find(""), None);
        assert_eq!(tokens.find(&token.expose()[..token.expose().len() - 1]), None);
        assert_eq!(tokens.find(&tokens.tokens[1].sha256), None, "the digest is no token");
    }

    #[test]
    fn a_later_scope_includes_the_earlier_ones() {
        assert!(Scope::Read < Scope::Operate && Scope::Operate < Scope::Admin);
    }

    #[test]
    fn no_token_shows_in_debug_output() {
        let token = Token::from_text(" sb_secret\n");
        assert_eq!(token.expose(), "sb_secret");
        assert!(!format!("{token:?}").contains("secret\""));
    }
}
