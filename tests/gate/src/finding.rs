//! One thing that a check objects to.

use std::fmt;

/// One thing that a check objects to: where it is, which rule it breaks, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The package, file or edge that breaks the rule.
    pub place: String,
    /// The rule, as a fact about the place.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl Finding {
    /// A finding about `place`.
    pub fn new(place: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into(), hint: hint.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}\n  hint: {}", self.place, self.message, self.hint)
    }
}
