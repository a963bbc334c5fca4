//! As much of an IP packet as a router has to read.

use std::net::Ipv4Addr;

/// Length of an IPv4 header without options (RFC 791, section 3.1).
pub const IPV4_HEADER_BYTES: usize = 20;

/// Where an IPv4 packet wants to go; `None` for anything else (IPv6 neighbour talk, fragments of a header).
#[must_use]
pub fn destination(packet: &[u8]) -> Option<Ipv4Addr> {
    if packet.len() < IPV4_HEADER_BYTES || packet[0] >> 4 != 4 {
        return None;
    }
    let octets: [u8; 4] = packet[16..20].try_into().ok()?;
    Some(Ipv4Addr::from(octets))
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
    fn what_is_no_ipv4_packet_has_no_destination() {
        assert_eq!(destination(&[]), None);
        assert_eq!(destination(&[0x45; 19]), None);
        assert_eq!(destination(&[0x60; 40]), None);
    }
}
