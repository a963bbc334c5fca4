use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;

/// Longest name of an object in PostgreSQL, in bytes (`NAMEDATALEN` less the final zero).
pub(crate) const IDENTIFIER_BYTES_MAX: usize = 63;

/// The `application_name` by which a standby is known to its primary.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplicationName(String);

/// The text cannot be the name of one standby.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot name a standby: use 1 to 63 printable ASCII characters, and not `*` alone")]
pub struct ApplicationNameError {
    text: String,
}

impl ApplicationName {
    /// Takes a name that PostgreSQL keeps as it is. It cuts longer names, replaces other characters, and takes
    /// `*` for every standby.
    ///
    /// # Errors
    /// When the text is empty, longer than 63 bytes, not printable ASCII, or `*`.
    pub fn new(text: impl Into<String>) -> Result<Self, ApplicationNameError> {
        let text = text.into();
        let printable = text.bytes().all(|b| (0x20..0x7F).contains(&b));
        if printable && (1..=IDENTIFIER_BYTES_MAX).contains(&text.len()) && text != "*" {
            Ok(Self(text))
        } else {
            Err(ApplicationNameError { text: text.chars().take(80).collect() })
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ApplicationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ApplicationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The value of `synchronous_standby_names`: a quorum of named standbys, or nobody.
///
/// [`fmt::Display`] gives `ANY n ("a","b")`, in order of the names, and the empty text for nobody (PostgreSQL
/// manual, section 20.6.2). Quoting for a configuration file or for SQL is the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynchronousStandbyNames {
    quorum: NonZeroU32,
    names: BTreeSet<ApplicationName>,
}

impl SynchronousStandbyNames {
    /// Commits wait for nobody.
    #[must_use]
    pub const fn nobody() -> Self {
        Self { quorum: NonZeroU32::MIN, names: BTreeSet::new() }
    }

    /// Commits wait for any `quorum` of `names`; for nobody when there are no names.
    #[must_use]
    pub fn any(quorum: NonZeroU32, names: impl IntoIterator<Item = ApplicationName>) -> Self {
        Self { quorum, names: names.into_iter().collect() }
    }
}

impl fmt::Display for SynchronousStandbyNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.names.is_empty() {
            return Ok(());
        }
        let quoted: Vec<_> =
            self.names.iter().map(|name| format!("\"{}\"", name.as_str().replace('"', "\"\""))).collect();
        write!(f, "ANY {} ({})", self.quorum, quoted.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ApplicationName {
        ApplicationName::new(text).unwrap()
    }

    #[test]
    fn a_quorum_is_rendered_in_order_and_quoted() {
        let two = NonZeroU32::new(2).unwrap();
        let names = SynchronousStandbyNames::any(two, [name("tucson-1"), name("a\"b"), name("burlington-1")]);
        assert_eq!(names.to_string(), r#"ANY 2 ("a""b","burlington-1","tucson-1")"#);
    }

    #[test]
    fn no_names_are_the_empty_text() {
        assert_eq!(SynchronousStandbyNames::nobody().to_string(), "");
        assert_eq!(SynchronousStandbyNames::any(NonZeroU32::MIN, []).to_string(), "");
    }

    #[test]
    fn names_that_postgresql_would_change_are_refused() {
        for text in ["", "*", "caf\u{e9}", "a\nb", &"x".repeat(64)] {
            assert!(ApplicationName::new(text).is_err(), "{text}");
        }
    }
}
