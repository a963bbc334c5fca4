use std::fmt;

use crate::standby_names::IDENTIFIER_BYTES_MAX;

/// The name of a replication slot: 1 to 63 lower-case letters, digits and underscores.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotName(String);

/// The text is not the name of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` gives no slot name: use lower-case letters, digits and hyphens")]
pub struct SlotNameError {
    text: String,
}

impl SlotName {
    /// What every slot of ours begins with; others are left alone.
    pub const PREFIX: &str = "sb_";

    /// The slot of a server: `sb_` and its name with `_` for `-`.
    ///
    /// A name too long for that keeps its beginning and ends in 16 hexadecimal digits of the whole name's
    /// FNV-1a hash, so that two long names do not share a slot.
    ///
    /// # Errors
    /// When the name has other characters than lower-case letters, digits and hyphens, or none.
    pub fn for_server(name: &str) -> Result<Self, SlotNameError> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || !name.bytes().all(good) {
            return Err(SlotNameError { text: name.chars().take(80).collect() });
        }
        let mut slot = format!("{}{}", Self::PREFIX, name.replace('-', "_"));
        if slot.len() > IDENTIFIER_BYTES_MAX {
            slot.truncate(IDENTIFIER_BYTES_MAX - 17);
            slot = format!("{slot}_{:016x}", fnv_1a(name.as_bytes()));
        }
        Ok(Self(slot))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Fowler–Noll–Vo, 64 bits: the same on every machine and in every release, unlike the standard library's.
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_named_after_its_server() {
        assert_eq!(SlotName::for_server("ravena-2").unwrap().as_str(), "sb_ravena_2");
        assert!(SlotName::for_server("Ravena").is_err());
        assert!(SlotName::for_server("").is_err());
    }

    #[test]
    fn long_names_that_begin_alike_have_slots_of_their_own() {
        let slot = |last: char| SlotName::for_server(&format!("{}{last}", "x".repeat(62))).unwrap();
        assert_eq!(slot('1').as_str().len(), 63);
        assert_ne!(slot('1'), slot('2'));
    }
}
