//! Arithmetic on WAL positions (PostgreSQL's `xlog_internal.h`): records are aligned to 8 bytes and run around page headers.

use sb_pgtypes::Lsn;

/// Alignment of records (`MAXALIGN`).
const ALIGN: u64 = 8;
/// Header of a page (`SizeOfXLogShortPHD`).
const PAGE_HEADER: u64 = 24;
/// Header of the first page of a segment (`SizeOfXLogLongPHD`).
const FIRST_PAGE_HEADER: u64 = 40;

/// Sizes of the parts of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) segment_bytes: u64,
    pub(crate) page_bytes: u64,
}

impl Layout {
    /// Where a record of `length` bytes that starts at `start` ends: the LSN that a flush of it reports.
    pub(crate) fn record_end(self, start: Lsn, length: u64) -> Lsn {
        let mut at = start.get();
        let mut left = length.next_multiple_of(ALIGN);
        loop {
            let page_end = (at / self.page_bytes + 1) * self.page_bytes;
            let room = page_end - at;
            if left <= room {
                return Lsn::new(at + left);
            }
            left -= room;
            at = page_end
                + if page_end.is_multiple_of(self.segment_bytes) { FIRST_PAGE_HEADER } else { PAGE_HEADER };
        }
    }

    /// The number of the segment that holds the byte at `lsn`.
    pub(crate) const fn segment(self, lsn: Lsn) -> u64 {
        lsn.get() / self.segment_bytes
    }

    /// Where the segment that holds the byte at `lsn` begins.
    pub(crate) const fn segment_start(self, lsn: Lsn) -> Lsn {
        Lsn::new(lsn.get() - lsn.get() % self.segment_bytes)
    }

    /// The file name of the segment of `timeline` that holds the byte at `lsn`.
    pub(crate) fn segment_name(self, timeline: u32, lsn: Lsn) -> String {
        let in_log = (1 << 32) / self.segment_bytes;
        let number = self.segment(lsn);
        format!("{timeline:08X}{:08X}{:08X}", number / in_log, number % in_log)
    }

    /// The timeline and number in a segment's file name.
    pub(crate) fn parse_name(self, name: &str) -> Option<(u32, u64)> {
        if name.len() != 24 || !name.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let part = |range| u64::from_str_radix(&name[range], 16).ok();
        let timeline = u32::try_from(part(0..8)?).ok()?;
        Some((timeline, part(8..16)? * ((1 << 32) / self.segment_bytes) + part(16..24)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout { segment_bytes: 16 << 20, page_bytes: 8_192 };

    #[test]
    fn a_record_within_a_page_ends_aligned() {
        assert_eq!(LAYOUT.record_end(Lsn::new(0x300_0028), 114), Lsn::new(0x300_0028 + 120));
    }

    #[test]
    fn a_record_that_ends_with_its_page_ends_before_the_next_header() {
        assert_eq!(LAYOUT.record_end(Lsn::new(8_192 - 120), 114), Lsn::new(8_192));
    }

    #[test]
    fn a_record_across_pages_steps_over_their_headers() {
        assert_eq!(LAYOUT.record_end(Lsn::new(8_192 - 16), 114), Lsn::new(8_192 + 24 + 104));
        assert_eq!(LAYOUT.record_end(Lsn::new((16 << 20) - 16), 114), Lsn::new((16 << 20) + 40 + 104));
    }

    #[test]
    fn segment_names_are_read_back() {
        assert_eq!(LAYOUT.parse_name("0000000200000001000000FE"), Some((2, 0x1FE)));
        assert_eq!(LAYOUT.parse_name("00000002.history"), None);
        assert_eq!(LAYOUT.segment(Lsn::new(0x1_FE00_0000)), 0x1FE);
        assert_eq!(LAYOUT.segment_name(2, Lsn::new(0x1_FE00_0028)), "0000000200000001000000FE");
        assert_eq!(LAYOUT.segment_start(Lsn::new(0x1_FE00_0028)), Lsn::new(0x1_FE00_0000));
    }
}
