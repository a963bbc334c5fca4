use std::net::SocketAddr;

use super::Ecn;

/// The most datagrams that the kernel cuts one send into (UDP_MAX_SEGMENTS of Linux 4.18).
const SEGMENTS_MAX: usize = 64;
/// The most bytes of one send: an IPv4 packet less its header and UDP's.
const RUN_BYTES_MAX: usize = 65_507;
/// A handshake may need this much room where a small packet was expected.
const SLACK_BYTES: usize = 256;
/// Sends that are kept ready; memory is allocated when one is first used.
const RUNS_KEPT_MAX: usize = 16;

/// Datagrams on their way out, grouped so that one system call sends as many as it can.
///
/// Datagrams to one destination leave in the order they were written in.
#[derive(Debug, Default)]
pub struct Outbox {
    runs: Vec<Run>,
    used: usize,
}

/// Datagrams of one size to one destination; only the last may be shorter.
#[derive(Debug)]
pub struct Run {
    to: SocketAddr,
    ecn: Ecn,
    segment_bytes: usize,
    segments: usize,
    filled: usize,
    bytes: Vec<u8>,
}

impl Outbox {
    /// Lets `write` put one datagram of about `expected_bytes` into the place where it is sent from. It answers how
    /// many bytes it wrote, and nothing is kept when that is none.
    pub(super) fn write(
        &mut self,
        to: SocketAddr,
        ecn: Ecn,
        expected_bytes: usize,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<usize> {
        let open = self.runs[..self.used].iter().rposition(|run| run.to == to);
        let at = match open.filter(|at| self.runs[*at].takes(ecn, expected_bytes)) {
            Some(at) => at,
            None => self.begin(to, ecn, expected_bytes),
        };
        let bytes = write(self.runs[at].room())?;
        if self.runs[at].takes(ecn, bytes) {
            self.runs[at].commit(bytes);
        } else {
            self.move_to_a_run_of_its_own(at, bytes);
        }
        Some(bytes)
    }

    /// The groups that are to be sent, in order.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.runs[..self.used].iter().filter(|run| run.filled > 0)
    }

    /// Whether it is time to send before more is written.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.used >= RUNS_KEPT_MAX / 2
    }

    /// Forgets what was sent.
    pub fn clear(&mut self) {
        self.used = 0;
        self.runs.truncate(RUNS_KEPT_MAX);
    }

    fn begin(&mut self, to: SocketAddr, ecn: Ecn, expected_bytes: usize) -> usize {
        if self.used == self.runs.len() {
            self.runs.push(Run::new(to, ecn));
        }
        let run = &mut self.runs[self.used];
        (run.to, run.ecn, run.segment_bytes, run.segments, run.filled) = (to, ecn, 0, 0, 0);
        // Nothing but a packet of the largest MTU is longer.
        let wanted = expected_bytes.max(RUN_BYTES_MAX) + SLACK_BYTES;
        if run.bytes.len() < wanted {
            run.bytes.resize(wanted, 0);
        }
        self.used += 1;
        self.used - 1
    }

    /// It came out longer than the others of its group may be.
    fn move_to_a_run_of_its_own(&mut self, from: usize, bytes: usize) {
        let written = self.runs[from].room()[..bytes].to_vec();
        let (to, ecn) = (self.runs[from].to, self.runs[from].ecn);
        let at = self.begin(to, ecn, bytes);
        self.runs[at].room()[..bytes].copy_from_slice(&written);
        self.runs[at].commit(bytes);
    }
}

impl Run {
    fn new(to: SocketAddr, ecn: Ecn) -> Self {
        Self { to, ecn, segment_bytes: 0, segments: 0, filled: 0, bytes: Vec::new() }
    }

    /// Where it goes.
    #[must_use]
    pub fn to(&self) -> SocketAddr {
        self.to
    }

    /// How the network marks it.
    #[must_use]
    pub fn ecn(&self) -> Ecn {
        self.ecn
    }

    /// All datagrams, one behind the other.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    /// Bytes of each datagram but the last.
    #[must_use]
    pub fn segment_bytes(&self) -> usize {
        self.segment_bytes
    }

    /// The datagrams one by one.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes().chunks(self.segment_bytes.max(1))
    }

    fn takes(&self, ecn: Ecn, bytes: usize) -> bool {
        let is_open = self.filled == self.segments * self.segment_bytes;
        self.segments == 0
            || (is_open
                && self.ecn == ecn
                && bytes <= self.segment_bytes
                && self.segments < SEGMENTS_MAX
                && self.filled + bytes <= RUN_BYTES_MAX)
    }

    fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled..]
    }

    fn commit(&mut self, bytes: usize) {
        if self.segments == 0 {
            self.segment_bytes = bytes;
        }
        self.segments += 1;
        self.filled += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(sizes: &[(u16, usize)]) -> Vec<(u16, usize, usize)> {
        let mut outbox = Outbox::default();
        for (port, bytes) in sizes {
            outbox.write(([192, 0, 2, 1], *port).into(), Ecn::default(), *bytes, |room| {
                room[..*bytes].fill(7);
                Some(*bytes)
            });
        }
        outbox.runs().map(|run| (run.to().port(), run.segment_bytes(), run.bytes().len())).collect()
    }

    #[test]
    fn datagrams_of_one_size_share_a_send_and_a_shorter_one_ends_it() {
        assert_eq!(written(&[(1, 100), (1, 100), (1, 60), (1, 100)]), [(1, 100, 260), (1, 100, 100)]);
    }

    #[test]
    fn peers_that_alternate_are_grouped_each() {
        assert_eq!(written(&[(1, 100), (2, 80), (1, 100), (2, 80)]), [(1, 100, 200), (2, 80, 160)]);
    }

    #[test]
    fn a_longer_datagram_begins_a_send() {
        assert_eq!(written(&[(1, 60), (1, 100)]), [(1, 60, 60), (1, 100, 100)]);
    }

    #[test]
    fn no_send_is_longer_than_the_kernel_takes() {
        let runs = written(&vec![(1, 1452); 100]);
        assert!(runs.iter().all(|(_, _, bytes)| *bytes <= RUN_BYTES_MAX), "{runs:?}");
        let runs = written(&vec![(1, 96); 100]);
        assert_eq!(runs, [(1, 96, 96 * 64), (1, 96, 96 * 36)]);
    }

    #[test]
    fn nothing_written_is_nothing_sent_and_a_surprise_is_sent_whole() {
        let mut outbox = Outbox::default();
        let to = ([192, 0, 2, 1], 1).into();
        outbox.write(to, Ecn::default(), 100, |_| None);
        assert_eq!(outbox.runs().count(), 0);
        outbox.write(to, Ecn::default(), 60, |_| Some(60));
        outbox.write(to, Ecn::default(), 60, |_| Some(148));
        assert_eq!(outbox.runs().map(|run| run.bytes().len()).collect::<Vec<_>>(), [60, 148]);
    }
}
