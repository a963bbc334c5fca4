use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::RECORD_BYTES_MAX;

/// Begins every record, so that one can be found again behind damage.
const MARKER: [u8; 4] = *b"SBr1";
/// Marker, length of the payload, CRC-32C of length and payload; numbers little-endian.
const HEADER_BYTES: usize = 12;

/// What a log file holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scan<T> {
    /// Its records, in order.
    pub(super) records: Vec<T>,
    /// Where the last whole record ends. What follows was being written when the server died.
    pub(super) end: usize,
}

/// A record is damaged and whole ones follow, or a whole one cannot be read: this is no torn write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {offset}")]
pub(super) struct Damage {
    pub(super) offset: usize,
    pub(super) what: &'static str,
}

/// One record as it is written. `None` when it is too large.
pub(super) fn encode(record: &impl Serialize) -> Option<Vec<u8>> {
    let payload = postcard::to_allocvec(record).ok()?;
    let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= RECORD_BYTES_MAX)?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(&MARKER);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&checksum(length, &payload).to_le_bytes());
    bytes.extend_from_slice(&payload);
    Some(bytes)
}

/// Reads all records. A batch is one record and synced before the next is written, so a crash can only have torn the
/// last one: damage with a whole record behind it is refused.
pub(super) fn scan<T: DeserializeOwned>(bytes: &[u8]) -> Result<Scan<T>, Damage> {
    let mut records = Vec::new();
    let mut end = 0;
    while let Some((payload, next)) = record_at(bytes, end) {
        let unreadable = Damage { offset: end, what: "a record that this version cannot read" };
        records.push(postcard::from_bytes(payload).map_err(|_| unreadable)?);
        end = next;
    }
    let followed = (end + 1..bytes.len()).any(|offset| record_at(bytes, offset).is_some());
    if followed {
        return Err(Damage { offset: end, what: "a damaged record with whole ones behind it" });
    }
    Ok(Scan { records, end })
}

/// The payload of the whole record at an offset, and where it ends.
fn record_at(bytes: &[u8], offset: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(offset..)?.strip_prefix(&MARKER)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length);
    let payload = rest.get(..length as usize)?;
    let whole = checksum(length, payload) == u32::from_le_bytes(*sum);
    whole.then_some((payload, offset + HEADER_BYTES + payload.len()))
}

fn checksum(length: u32, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length.to_le_bytes()), payload)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log(records: &[String]) -> Vec<u8> {
        records.iter().flat_map(|record| encode(record).unwrap()).collect()
    }

    fn words() -> Vec<String> {
        ["first", "second", "third"].map(String::from).to_vec()
    }

    #[test]
    fn a_last_record_cut_at_any_byte_is_left_out() {
        let whole = log(&words());
        let two = log(&words()[..2]);
        for cut in two.len()..whole.len() {
            assert_eq!(scan(&whole[..cut]), Ok(Scan { records: words()[..2].to_vec(), end: two.len() }));
        }
    }

    #[test]
    fn a_damaged_middle_is_refused_at_any_byte() {
        let whole = log(&words());
        let (first, second) = (log(&words()[..1]).len(), log(&words()[..2]).len());
        for at in first..second {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            assert_eq!(scan::<String>(&damaged).map_err(|damage| damage.offset), Err(first), "byte {at}");
        }
    }

    #[test]
    fn zeros_behind_the_last_record_are_a_torn_write() {
        let mut bytes = log(&words());
        let end = bytes.len();
        bytes.extend([0; 4096]);
        assert_eq!(scan(&bytes), Ok(Scan { records: words(), end }));
    }

    proptest! {
        /// Power is lost while the last record is written: any part of it may have reached the disk, in any order.
        #[test]
        fn whatever_became_of_the_unsynced_record_the_synced_ones_are_read(
            written in prop::collection::vec(any::<bool>(), 1..64),
            last in "[a-z]{1,40}",
        ) {
            let synced = log(&words());
            let mut bytes = synced.clone();
            let torn = encode(&last).unwrap();
            bytes.extend(torn.iter().zip(written.iter().cycle()).map(|(byte, there)| if *there { *byte } else { 0 }));
            let scan = scan::<String>(&bytes).unwrap();
            prop_assert_eq!(&scan.records[..3], &words()[..]);
            prop_assert!(scan.end == synced.len() || scan.records[3..] == [last]);
        }

        #[test]
        fn any_bytes_are_records_or_damage(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = scan::<String>(&bytes);
        }
    }
}
