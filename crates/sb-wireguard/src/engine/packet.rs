//! The few fields of IP packets and of WireGuard's messages that decide where they belong.

use std::net::IpAddr;

/// WireGuard pads packets to a multiple of this, so that their length says less.
pub(super) const PADDING_BYTES: usize = 16;
/// What a data message has around the packet.
pub(super) const DATA_OVERHEAD_BYTES: usize = 32;

const INITIATION: u8 = 1;
const RESPONSE: u8 = 2;
const DATA: u8 = 4;

/// Which of WireGuard's messages a datagram begins like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Initiation,
    Response,
    Data,
    Other,
}

impl Kind {
    pub(super) fn of(datagram: &[u8]) -> Self {
        match datagram.first() {
            Some(&INITIATION) => Self::Initiation,
            Some(&RESPONSE) => Self::Response,
            Some(&DATA) => Self::Data,
            _ => Self::Other,
        }
    }
}

/// The index by which the sender of a handshake message wants to be answered.
pub(super) fn sender_index(message: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(message.get(4..8)?.try_into().ok()?))
}

/// Where an IP packet goes.
pub(super) fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(packet.get(16..20)?).ok()?)),
        6 => Some(IpAddr::from(<[u8; 16]>::try_from(packet.get(24..40)?).ok()?)),
        _ => None,
    }
}

/// The length that a packet is padded to: a multiple of 16, but no more than the MTU.
pub(super) fn padded_bytes(packet_bytes: usize, mtu_bytes: usize) -> usize {
    packet_bytes.next_multiple_of(PADDING_BYTES).min(mtu_bytes).max(packet_bytes)
}

/// Length of a header without options: nothing shorter is a packet (RFC 791, section 3.1; RFC 8200, section 3).
pub(super) const fn header_bytes_min(source: std::net::IpAddr) -> usize {
    if source.is_ipv4() { 20 } else { 40 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_ends_at_the_mtu_and_never_cuts() {
        assert_eq!([padded_bytes(40, 1420), padded_bytes(48, 1420)], [48, 48]);
        assert_eq!([padded_bytes(1419, 1420), padded_bytes(1500, 1420)], [1420, 1500]);
        assert_eq!(padded_bytes(0, 1420), 0);
    }

    #[test]
    fn a_short_packet_goes_nowhere() {
        assert_eq!(destination(&[0x45; 19]), None);
        assert_eq!(destination(&[]), None);
        let mut packet = [0x45; 20];
        packet[16..].copy_from_slice(&[10, 0, 0, 2]);
        assert_eq!(destination(&packet), Some([10, 0, 0, 2].into()));
    }
}
