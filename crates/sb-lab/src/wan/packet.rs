//! As much of an IP packet as a router has to read.

use std::net::Ipv4Addr;

/// Length of an IPv4 header without options (RFC 791, section 3.1).
pub const IPV4_HEADER_BYTES: usize = 20;

/// TCP and UDP, which begin with their two ports.
const TRANSPORTS_WITH_PORTS: [u8; 2] = [6, 17];

/// The flags share a word with the offset.
const FRAGMENT_OFFSET_MASK: u16 = 0x1fff;

/// Where an IPv4 packet wants to go; `None` for anything else (IPv6 neighbour talk, fragments of a header).
#[must_use]
pub fn destination(packet: &[u8]) -> Option<Ipv4Addr> {
    if packet.len() < IPV4_HEADER_BYTES || packet[0] >> 4 != 4 {
        return None;
    }
    let octets: [u8; 4] = packet[16..20].try_into().ok()?;
    Some(Ipv4Addr::from(octets))
}

/// Whether a packet belongs to a conversation on this TCP or UDP port, on either side of it. A fragment that is not
/// the first does not say, so it does not.
#[must_use]
pub fn is_on_port(packet: &[u8], port: u16) -> bool {
    if destination(packet).is_none() || !TRANSPORTS_WITH_PORTS.contains(&packet[9]) {
        return false;
    }
    let fragment_offset = u16::from_be_bytes([packet[6], packet[7]]) & FRAGMENT_OFFSET_MASK;
    let header_bytes = usize::from(packet[0] & 0x0f) * 4;
    let ports = packet.get(header_bytes..header_bytes + 4).filter(|_| fragment_offset == 0);
    ports.is_some_and(|ports| ports.chunks_exact(2).any(|word| word == port.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_destination_is_read_from_the_header() {
        let mut packet = vec![0u8; 28];
        packet[0] = 0x45;
        packet[16..20].copy_from_slice(&[10, 0, 3, 1]);
        assert_eq!(destination(&packet), Some(Ipv4Addr::new(10, 0, 3, 1)));
    }

    #[test]
    fn both_ports_of_a_conversation_count_and_no_other_number_does() {
        let mut packet = vec![0u8; 28];
        (packet[0], packet[9]) = (0x45, 6);
        packet[20..24].copy_from_slice(&[0x1d, 0x08, 0x14, 0xeb]);
        assert!(is_on_port(&packet, 7_432) && is_on_port(&packet, 5_355));
        assert!(!is_on_port(&packet, 0x0814), "the bytes between the two are no port");
        packet[7] = 1;
        assert!(!is_on_port(&packet, 7_432), "a later fragment carries no ports");
        (packet[7], packet[9]) = (0, 1);
        assert!(!is_on_port(&packet, 7_432), "ICMP has no ports");
    }

    #[test]
    fn what_is_no_ipv4_packet_has_no_destination() {
        assert_eq!(destination(&[]), None);
        assert_eq!(destination(&[0x45; 19]), None);
        assert_eq!(destination(&[0x60; 40]), None);
    }
}
