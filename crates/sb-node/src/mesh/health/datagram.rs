//! The probes' own datagrams: a question and an answer of the same length, so that nobody is answered more than asked.
//!
//! ```text
//!  0     4      5           6      8          12      20           28
//!  "sbpr" kind   0           length sequence   nonce   wall clock   zeros up to the length
//! ```
//!
//! Numbers are big-endian. Of a question the wall clock is 0.

use std::net::IpAddr;

/// Bytes before the padding, and so the length of the smallest probe.
pub(super) const HEADER_BYTES: usize = 28;

/// Longest datagram that is read: the largest packet of an interface, without any header.
pub(super) const DATAGRAM_BYTES_MAX: usize = sb_topology::NetworkSettings::MTU_MAX as usize;

const MAGIC: &[u8; 4] = b"sbpr";
const QUESTION: u8 = 1;
const ANSWER: u8 = 2;

/// What tells one probe from every other. The nonce is random, so that nobody answers what it has not heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    /// Counts the probes to one peer.
    pub(super) sequence: u32,
    /// Chosen at random for each.
    pub(super) nonce: u64,
    /// Bytes of the datagram.
    pub(super) length: u16,
}

/// One datagram between two probers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// To be answered at once.
    Question(Token),
    /// The token of the question, and the answerer's wall clock in microseconds since the Unix epoch.
    Answer(Token, u64),
}

impl Probe {
    /// The datagram; [`None`] for a length that no probe has.
    pub(super) fn to_bytes(self) -> Option<Vec<u8>> {
        let (kind, token, wall_us) = match self {
            Self::Question(token) => (QUESTION, token, 0),
            Self::Answer(token, wall_us) => (ANSWER, token, wall_us),
        };
        let length = usize::from(token.length);
        if !(HEADER_BYTES..=DATAGRAM_BYTES_MAX).contains(&length) {
            return None;
        }
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[kind, 0]);
        bytes.extend_from_slice(&token.length.to_be_bytes());
        bytes.extend_from_slice(&token.sequence.to_be_bytes());
        bytes.extend_from_slice(&token.nonce.to_be_bytes());
        bytes.extend_from_slice(&wall_us.to_be_bytes());
        bytes.resize(length, 0);
        Some(bytes)
    }

    /// Reads a datagram; [`None`] for what is no probe, or was cut on its way.
    pub(super) fn read(datagram: &[u8]) -> Option<Self> {
        let (header, _) = datagram.split_first_chunk::<HEADER_BYTES>()?;
        let (magic, rest) = header.split_first_chunk::<4>()?;
        let ([kind, _], rest) = rest.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (wall_us, _) = rest.split_first_chunk()?;
        let token = Token {
            sequence: u32::from_be_bytes(*sequence),
            nonce: u64::from_be_bytes(*nonce),
            length: u16::from_be_bytes(*length),
        };
        if magic != MAGIC || usize::from(token.length) != datagram.len() {
            return None;
        }
        match *kind {
            QUESTION => Some(Self::Question(token)),
            ANSWER => Some(Self::Answer(token, u64::from_be_bytes(*wall_us))),
            _ => None,
        }
    }
}

/// Bytes of a datagram that fills a packet of `packet` bytes to this address: what IP's and UDP's headers leave.
pub(super) const fn length_in(packet: u16, to: IpAddr) -> u16 {
    packet.saturating_sub(match to {
        IpAddr::V4(_) => 20 + 8,
        IpAddr::V6(_) => 40 + 8,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_probe_reads_back_as_written_and_is_as_long_as_it_says(
            sequence: u32, nonce: u64, wall_us: u64, answers: bool, length in 28_u16..8920,
        ) {
            let token = Token { sequence, nonce, length };
            let probe = if answers { Probe::Answer(token, wall_us) } else { Probe::Question(token) };
            let bytes = probe.to_bytes().unwrap();
            prop_assert_eq!(bytes.len(), usize::from(length));
            prop_assert_eq!(Probe::read(&bytes), Some(probe));
            prop_assert_eq!(Probe::read(&bytes[..bytes.len() - 1]), None);
        }

        #[test]
        fn whatever_else_comes_is_no_probe(mut bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if bytes.first() == Some(&MAGIC[0]) {
                bytes[0] = 0;
            }
            prop_assert_eq!(Probe::read(&bytes), None);
        }
    }

    #[test]
    fn a_full_datagram_leaves_room_for_the_headers() {
        assert_eq!(length_in(1420, "10.0.1.1".parse().unwrap()), 1392);
        assert_eq!(length_in(1420, "fd00::1".parse().unwrap()), 1372);
    }
}
