use crate::state::Secret;

/// Shortest passphrase for the authority's key, in characters.
pub const PASSPHRASE_CHARACTERS_MIN: usize = 12;

/// Protects the authority's key at rest. `Debug` does not show it.
#[derive(Debug, Clone)]
pub struct Passphrase(Secret);

/// The passphrase is too short.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the passphrase has {characters} characters, fewer than {PASSPHRASE_CHARACTERS_MIN}")]
pub struct PassphraseError {
    characters: usize,
}

impl Passphrase {
    /// Takes a passphrase.
    ///
    /// # Errors
    /// When it is shorter than [`PASSPHRASE_CHARACTERS_MIN`].
    pub fn new(text: String) -> Result<Self, PassphraseError> {
        let characters = text.chars().count();
        let long_enough = characters >= PASSPHRASE_CHARACTERS_MIN;
        if long_enough { Ok(Self(Secret::new(text))) } else { Err(PassphraseError { characters }) }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}
