use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A secret on its way from one agent to another. Not shown; wiped when dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes the text.
    #[must_use]
    pub const fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(hidden)")
    }
}

/// All that the server which makes the preshared keys of a pair has of it: body of `POST /peer/v1/preshared`, to the other
/// server of that pair and nobody else. Who says it is told by its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresharedWord {
    /// Grows with every change; an older word is not followed.
    pub revision: u64,
    /// By what the key that is kept is spoken of; absent when there is none.
    pub kept: Option<String>,
    /// The key that is to take its place.
    pub next: Option<PresharedOffer>,
}

/// A preshared key for the other end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresharedOffer {
    /// The key, in base64.
    pub key: SecretText,
    /// What the other end is to do with it.
    pub step: PresharedStep,
}

/// How far a new preshared key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PresharedStep {
    /// Both ends are to hold it.
    Offer,
    /// It is in force, and waits for a handshake that proves it.
    Apply,
}

impl PresharedStep {
    /// The word that JSON has for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Apply => "apply",
        }
    }
}

/// What the other server of the pair holds on its disk: the answer to a [`PresharedWord`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresharedAnswer {
    /// The newest word that it followed.
    pub revision: u64,
    /// By what the key that it keeps is spoken of.
    pub kept: Option<String>,
    /// By what the key that it holds beside that is spoken of.
    pub next: Option<String>,
}

/// A server asks the one that makes the preshared keys of some pairs for new ones: body of `POST /peer/v1/preshared/begin`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresharedBegin {
    /// The other server of each pair.
    pub with: Vec<String>,
    /// Give up those that are not in force yet, instead of beginning.
    #[serde(default)]
    pub abandon: bool,
}

/// Where a pair's preshared key stands at the server that makes it; told to every server, without the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshPreshared {
    /// The other server of the pair.
    pub peer: String,
    /// Grows with every change.
    pub revision: u64,
    /// By what the key that is kept is spoken of: 16 hexadecimal digits of its hash; absent when there is none.
    pub key: Option<String>,
    /// Seconds since that key was proven, by this server's wall clock; absent when there is none. For people.
    pub age_seconds: Option<u64>,
    /// How far the key that is to take its place is; absent when there is none.
    pub step: Option<PresharedStep>,
    /// What that one waits for, in words.
    #[serde(default)]
    pub waits: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_on_its_way_is_in_the_json_and_in_no_debug_output() {
        let key = SecretText::new(Zeroizing::new("c2VjcmV0".to_owned()));
        let word = PresharedWord {
            revision: 3,
            kept: None,
            next: Some(PresharedOffer { key, step: PresharedStep::Offer }),
        };
        assert!(!format!("{word:?}").contains("c2Vj"));
        let json = serde_json::to_string(&word).unwrap();
        assert_eq!(json, r#"{"revision":3,"kept":null,"next":{"key":"c2VjcmV0","step":"offer"}}"#);
        assert_eq!(serde_json::from_str::<PresharedWord>(&json).unwrap(), word);
    }
}
