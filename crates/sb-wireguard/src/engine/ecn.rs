/// The two bits by which a network marks congestion instead of dropping (RFC 3168).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ecn(u8);

const NOT_CAPABLE: u8 = 0;
const CONGESTED: u8 = 3;
const MASK: u8 = 3;

/// Whether a packet goes on after the marks of its way were copied into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    /// It was marked as congested on the way and its sender would not understand the mark (RFC 6040, section 4.2).
    Drop,
}

impl Ecn {
    /// Of the two low bits.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & MASK)
    }

    /// As the two low bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// That of an IP packet, for the datagram that carries it.
    pub(super) fn of_packet(packet: &[u8]) -> Self {
        match packet {
            [first, second, ..] if first >> 4 == 4 => Self(second & MASK),
            [first, second, ..] if first >> 4 == 6 => Self(second >> 4 & MASK),
            _ => Self(NOT_CAPABLE),
        }
    }

    /// Carries a mark of congestion from a datagram into the packet that was inside.
    pub(super) fn copy_into(self, packet: &mut [u8]) -> Verdict {
        if self.0 != CONGESTED {
            return Verdict::Keep;
        }
        let inner = Self::of_packet(packet).0;
        if inner == NOT_CAPABLE {
            return Verdict::Drop;
        }
        if inner != CONGESTED {
            mark(packet, inner);
        }
        Verdict::Keep
    }
}

fn mark(packet: &mut [u8], inner: u8) {
    if packet[0] >> 4 == 6 {
        packet[1] |= CONGESTED << 4;
        return;
    }
    packet[1] |= CONGESTED;
    // The header's checksum goes down by what the header went up (RFC 1624).
    let checksum = u16::from_be_bytes([packet[10], packet[11]]);
    let (sum, carry) = (!checksum).overflowing_add(u16::from(CONGESTED - inner));
    packet[10..12].copy_from_slice(&(!(sum + u16::from(carry))).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(ecn: u8) -> Vec<u8> {
        let mut packet = vec![0x45, ecn, 0, 20, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        let sum = sum(&packet);
        packet[10..12].copy_from_slice(&(!sum).to_be_bytes());
        packet
    }

    fn sum(packet: &[u8]) -> u16 {
        let total: u32 = packet.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        u16::try_from((total & 0xffff) + (total >> 16)).unwrap()
    }

    #[test]
    fn a_mark_is_carried_inside_and_the_checksum_stays_right() {
        for capable in [1, 2] {
            let mut packet = header(capable);
            assert_eq!(Ecn::from_bits(CONGESTED).copy_into(&mut packet), Verdict::Keep);
            assert_eq!((Ecn::of_packet(&packet).bits(), sum(&packet)), (CONGESTED, 0xffff));
        }
    }

    #[test]
    fn a_marked_packet_whose_sender_would_not_understand_is_dropped() {
        assert_eq!(Ecn::from_bits(CONGESTED).copy_into(&mut header(NOT_CAPABLE)), Verdict::Drop);
        assert_eq!(Ecn::from_bits(1).copy_into(&mut header(NOT_CAPABLE)), Verdict::Keep);
    }
}
