use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A log sequence number: a byte position in the write-ahead log.
///
/// Text form is PostgreSQL's `X/Y`, two hexadecimal halves of 32 bits (manual, section 8.20 `pg_lsn`).
/// An LSN alone says nothing about which timeline it is on: compare [`crate::Position`]s, never bare LSNs
/// of different servers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(u64);

impl Lsn {
    /// PostgreSQL's `InvalidXLogRecPtr`: no position.
    pub const INVALID: Lsn = Lsn(0);

    /// An LSN from its 64-bit value.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The 64-bit value, in bytes since the start of the log.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// How many bytes `self` is ahead of `other`; 0 when it is not ahead.
    #[must_use]
    pub const fn bytes_ahead_of(self, other: Lsn) -> u64 {
        self.0.saturating_sub(other.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not an LSN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an LSN of the form X/Y in hexadecimal")]
pub struct LsnParseError {
    text: String,
}

impl FromStr for Lsn {
    type Err = LsnParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || LsnParseError { text: text.chars().take(40).collect() };
        let half = |part: &str| {
            let hex = !part.is_empty() && part.len() <= 8 && part.bytes().all(|b| b.is_ascii_hexdigit());
            if hex { u64::from_str_radix(part, 16).map_err(|_| fail()) } else { Err(fail()) }
        };
        let (high, low) = text.split_once('/').ok_or_else(fail)?;
        Ok(Self((half(high)? << 32) | half(low)?))
    }
}

impl Serialize for Lsn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_that_of_postgresql() {
        assert_eq!(Lsn::new(0x5_A000_0060).to_string(), "5/A0000060");
        assert_eq!("16/B374D848".parse::<Lsn>(), Ok(Lsn::new(0x16_B374_D848)));
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in ["", "/", "1", "1/", "/1", "+1/0", "1/123456789", "g/0", "1/0/0"] {
            assert!(text.parse::<Lsn>().is_err(), "{text}");
        }
    }
}
