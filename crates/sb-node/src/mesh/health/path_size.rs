//! How large the packets may be that come through to one peer and back.
//!
//! A path whose narrowest line takes less than the interface, and whose routers say nothing about it, lets handshakes,
//! pings and short queries through and swallows everything else. So the size in use is tried every few seconds beside
//! a small probe: where only the small one comes back, again and again, the largest size that passes is searched for and
//! used, and from time to time the full size is tried again.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use sb_topology::NetworkSettings;

/// Between two tries of a size that passes, in milliseconds.
const WATCH_MS: u64 = 5_000;
/// Between two tries of a size that has just not passed, in milliseconds.
const HURRY_MS: u64 = 500;
/// So many tries in a row, without one that passes between, and the size in use is given up.
pub(super) const WATCH_FAILURES_MAX: u8 = 5;
/// So many tries in a row, and a size of the search does not pass.
pub(super) const SEARCH_FAILURES_MAX: u8 = 3;
/// The search ends when it knows the size this closely, in bytes.
const STEP_BYTES: u16 = 8;
/// Between a search and the next try of the full size, in milliseconds.
const RAISE_MS: u64 = 120_000;
/// So many tries of the full size in a row have to pass.
const RAISE_PASSES_MIN: u8 = 3;
/// What the narrowest line that IPv6 allows (1,280 bytes) leaves inside of WireGuard over IPv6.
const FLOOR_BYTES: u16 = NetworkSettings::MTU_MIN - 80;

/// What is known of the size of packets on the way to one peer, and what to try next.
#[derive(Debug)]
pub(super) struct PathSize {
    full: u16,
    floor: u16,
    in_use: u16,
    passes: Option<Passes>,
    phase: Phase,
    next: Instant,
    raise: Instant,
}

/// Whether packets of the size in use come through both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mesh) enum Passes {
    /// They do.
    Both,
    /// They do not, and small ones do.
    Lost,
}

/// What came of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Try {
    /// The answer came, in full length.
    Passed,
    /// The answer to a small probe of the same moment came, this one did not.
    Failed,
    /// Neither came: that tells nothing about sizes.
    Unknown,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Watch {
        failures: u8,
    },
    /// `passes` does ([`None`]: not even the smallest has been tried), `fails` does not.
    Search {
        passes: Option<u16>,
        fails: u16,
        failures: u8,
    },
    Raise {
        passes: u8,
        failures: u8,
    },
}

impl PathSize {
    /// Packets of `full` bytes are used to this address until they turn out not to pass.
    pub(super) fn new(full: u16, to: IpAddr, now: Instant) -> Self {
        // A route of IPv6 takes 1,280 bytes by definition (RFC 8200, section 5).
        let floor = if to.is_ipv4() { FLOOR_BYTES } else { NetworkSettings::MTU_MIN };
        Self {
            full,
            floor: floor.min(full),
            in_use: full,
            passes: None,
            phase: Phase::Watch { failures: 0 },
            next: now,
            raise: now,
        }
    }

    /// The size in use, in bytes of a packet.
    pub(super) const fn in_use(&self) -> u16 {
        self.in_use
    }

    /// The size in use where it is less than the interface's.
    pub(super) fn narrowed(&self) -> Option<u16> {
        (self.in_use < self.full).then_some(self.in_use)
    }

    /// Whether packets of the size in use come through; [`None`] until that is known.
    pub(super) const fn passes(&self) -> Option<Passes> {
        self.passes
    }

    /// When something is to be tried next, if nothing is being tried.
    pub(super) const fn due(&self) -> Instant {
        self.next
    }

    /// The size to try now, in bytes of a packet.
    pub(super) fn next_try(&mut self, now: Instant) -> u16 {
        if matches!(self.phase, Phase::Watch { .. }) && self.in_use < self.full && now >= self.raise {
            self.phase = Phase::Raise { passes: 0, failures: 0 };
        }
        match self.phase {
            Phase::Watch { .. } => self.in_use,
            Phase::Search { passes: None, .. } => self.floor,
            Phase::Search { passes: Some(passes), fails, .. } => passes.midpoint(fails),
            Phase::Raise { .. } => self.full,
        }
    }

    /// Takes what came of trying `size`.
    pub(super) fn tried(&mut self, size: u16, result: Try, now: Instant) {
        self.next = now + Duration::from_millis(HURRY_MS);
        if result == Try::Unknown {
            return;
        }
        match self.phase {
            Phase::Watch { failures } => self.watched(failures, result, now),
            Phase::Search { passes, fails, failures } => match result {
                Try::Passed => self.search(Some(size), fails, now),
                Try::Failed if failures + 1 < SEARCH_FAILURES_MAX => {
                    self.phase = Phase::Search { passes, fails, failures: failures + 1 };
                }
                Try::Failed if passes.is_none() => self.settle(self.floor, Passes::Lost, now),
                Try::Failed | Try::Unknown => self.search(passes, size, now),
            },
            Phase::Raise { passes, failures } => self.raised(passes, failures, result, now),
        }
    }

    fn watched(&mut self, failures: u8, result: Try, now: Instant) {
        if result == Try::Passed {
            self.passes = Some(Passes::Both);
            self.phase = Phase::Watch { failures: 0 };
            self.next = now + Duration::from_millis(WATCH_MS);
        } else if failures + 1 < WATCH_FAILURES_MAX {
            self.phase = Phase::Watch { failures: failures + 1 };
        } else if self.in_use == self.floor {
            self.settle(self.floor, Passes::Lost, now);
        } else {
            self.passes = Some(Passes::Lost);
            self.search(None, self.in_use, now);
        }
    }

    fn raised(&mut self, passes: u8, failures: u8, result: Try, now: Instant) {
        match result {
            Try::Passed if passes + 1 == RAISE_PASSES_MIN => self.settle(self.full, Passes::Both, now),
            Try::Passed => self.phase = Phase::Raise { passes: passes + 1, failures: 0 },
            // The line may have become wider, if not as wide as it should be.
            Try::Failed if failures + 1 == SEARCH_FAILURES_MAX => {
                let known = (self.passes == Some(Passes::Both)).then_some(self.in_use);
                self.search(known, self.full, now);
            }
            Try::Failed | Try::Unknown => self.phase = Phase::Raise { passes: 0, failures: failures + 1 },
        }
    }

    /// Goes on between a size that passes and one that does not, or is at an end with it.
    fn search(&mut self, passes: Option<u16>, fails: u16, now: Instant) {
        match passes {
            Some(passes) if fails - passes <= STEP_BYTES => self.settle(passes, Passes::Both, now),
            _ => self.phase = Phase::Search { passes, fails, failures: 0 },
        }
    }

    fn settle(&mut self, size: u16, passes: Passes, now: Instant) {
        self.in_use = size;
        self.passes = Some(passes);
        self.phase = Phase::Watch { failures: 0 };
        self.next = now + Duration::from_millis(WATCH_MS);
        self.raise = now + Duration::from_millis(RAISE_MS);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FULL: u16 = 1420;

    fn four() -> IpAddr {
        "10.0.2.1".parse().unwrap()
    }

    /// A path in virtual time: tries what is due, and passes what is no larger than `takes`.
    struct Path {
        size: PathSize,
        now: Instant,
        tries: u32,
    }

    impl Path {
        fn new() -> Self {
            let now = Instant::now();
            Self { size: PathSize::new(FULL, four(), now), now, tries: 0 }
        }

        fn turn(&mut self, result: impl Fn(u16) -> Try) {
            self.now = self.now.max(self.size.due());
            let size = self.size.next_try(self.now);
            self.now += Duration::from_millis(300);
            self.size.tried(size, result(size), self.now);
            self.tries += 1;
        }

        fn run(&mut self, seconds: u64, takes: u16) {
            let end = self.now + Duration::from_secs(seconds);
            while self.now < end {
                self.turn(|size| if size <= takes { Try::Passed } else { Try::Failed });
            }
        }
    }

    proptest! {
        /// Wherever the bound is, it is found from below within a step, in a bounded number of tries and half a minute.
        #[test]
        fn the_largest_size_that_passes_is_found(takes in FLOOR_BYTES..FULL) {
            let mut path = Path::new();
            path.run(30, takes);
            let found = path.size.in_use();
            prop_assert!(found <= takes && takes - found < STEP_BYTES, "{found} of {takes}");
            prop_assert_eq!(path.size.passes(), Some(Passes::Both));
            prop_assert!(path.tries <= 5 + 1 + 5 * 3 + 6, "{} tries", path.tries);
        }

        /// The size in use never leaves what was configured and the floor, whatever comes back.
        #[test]
        fn the_size_in_use_stays_within_its_bounds(results in proptest::collection::vec(0_u8..3, 0..400)) {
            let mut path = Path::new();
            for result in results {
                path.turn(|_| [Try::Passed, Try::Failed, Try::Unknown][usize::from(result)]);
                prop_assert!((FLOOR_BYTES..=FULL).contains(&path.size.in_use()));
            }
        }
    }

    #[test]
    fn a_path_that_takes_everything_is_left_alone() {
        let mut path = Path::new();
        path.run(600, FULL);
        assert_eq!((path.size.narrowed(), path.size.passes()), (None, Some(Passes::Both)));
        assert!(path.tries <= 600 / 5 + 1, "{} tries", path.tries);
    }

    #[test]
    fn four_lost_tries_and_an_answer_move_nothing() {
        let mut path = Path::new();
        for _ in 0..50 {
            for _ in 1..WATCH_FAILURES_MAX {
                path.turn(|_| Try::Failed);
            }
            path.turn(|_| Try::Passed);
        }
        assert_eq!(path.size.narrowed(), None);
    }

    #[test]
    fn silence_tells_nothing_about_sizes() {
        let mut path = Path::new();
        for _ in 0..1_000 {
            path.turn(|_| Try::Unknown);
        }
        assert_eq!((path.size.narrowed(), path.size.passes()), (None, None));
    }

    #[test]
    fn a_path_that_recovers_is_used_in_full_again() {
        let mut path = Path::new();
        path.run(30, 1300);
        assert!(path.size.narrowed().is_some());
        path.run(140, FULL);
        assert_eq!((path.size.narrowed(), path.size.passes()), (None, Some(Passes::Both)));
    }

    #[test]
    fn a_path_that_recovers_in_part_is_used_in_part() {
        let mut path = Path::new();
        path.run(30, 1220);
        path.run(150, 1380);
        let found = path.size.in_use();
        assert!((1373..=1380).contains(&found), "{found}");
    }

    #[test]
    fn a_path_that_becomes_narrower_again_is_followed() {
        let mut path = Path::new();
        path.run(30, 1380);
        path.run(30, 1300);
        let found = path.size.in_use();
        assert!((1293..=1300).contains(&found), "{found}");
    }

    #[test]
    fn what_takes_not_even_the_smallest_size_is_told_and_tried_again() {
        let mut path = Path::new();
        path.run(30, 500);
        assert_eq!((path.size.in_use(), path.size.passes()), (FLOOR_BYTES, Some(Passes::Lost)));
        path.run(140, FULL);
        assert_eq!((path.size.in_use(), path.size.passes()), (FULL, Some(Passes::Both)));
    }

    #[test]
    fn over_ipv6_no_route_is_narrower_than_a_packet_of_ipv6_may_be() {
        let size = PathSize::new(FULL, "fd00::1".parse().unwrap(), Instant::now());
        assert_eq!(size.floor, NetworkSettings::MTU_MIN);
    }
}
