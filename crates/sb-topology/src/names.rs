use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest site or server name, in bytes: the length of a DNS label (RFC 1035, section 2.3.4).
pub const NAME_BYTES_MAX: usize = 63;

/// The text is not a usable name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a name: use lower-case letters, digits and inner hyphens, at most {NAME_BYTES_MAX} bytes"
)]
pub struct NameError {
    text: String,
}

fn check(text: &str) -> Result<(), NameError> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = !text.is_empty()
        && text.len() <= NAME_BYTES_MAX
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if good { Ok(()) } else { Err(NameError { text: text.chars().take(80).collect() }) }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// When it is not a lower-case DNS label.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                check(&text).map(|()| Self(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

name! {
    /// The key of a site in `sites.json`, such as `burlington`: a lower-case DNS label.
    SiteName
}

name! {
    /// The name of one server, unique in the cluster, such as `ravena-2`: a lower-case DNS label.
    ServerName
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_lower_case_dns_label() {
        for text in ["a", "ravena-1", "1", "a--b", &"x".repeat(NAME_BYTES_MAX)] {
            assert_eq!(ServerName::new(text).unwrap().as_str(), text);
        }
        for text in ["", "-a", "a-", "A", "a_b", "a.b", "a b", "é", &"x".repeat(NAME_BYTES_MAX + 1)] {
            assert!(SiteName::new(text).is_err(), "{text}");
        }
    }
}
