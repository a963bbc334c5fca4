use std::net::IpAddr;
use std::time::{Duration, Instant};

use sb_wireguard::relay::SightState;

use super::datagram::{HEADER_BYTES, Token, length_in};
use super::direct::{Answers, SETTLE_MS, Session, direct_sight};
use super::finding::Finding;
use super::path_size::{PathSize, Try};
use super::window::{ANSWER_MS_MAX, Came, WallClocks, Window};

/// Between two small probes, in milliseconds.
pub(super) const PROBE_MS: u64 = 1_000;

/// Bytes of a small probe.
const SMALL_BYTES: u16 = 64;

/// So much longer than the small probe beside it the answer to a sized one may take, in milliseconds.
const SIZED_LATE_MS_MAX: u64 = 300;

const _: () = assert!(SMALL_BYTES as usize >= HEADER_BYTES);

/// The probes to one server: when which is due, and what the answers tell. It does not send, and reads no clock.
#[derive(Debug)]
pub(super) struct Line {
    to: IpAddr,
    window: Window,
    size: PathSize,
    trying: Option<Trying>,
    next: Instant,
    sequence: u32,
    sight: Option<SightState>,
}

/// A probe of a certain size that is under way, and the small one beside it.
#[derive(Debug)]
struct Trying {
    size: u16,
    token: Token,
    beside: u32,
    answered: bool,
}

impl Line {
    /// A line to a server whose packets fill `full` bytes.
    pub(super) fn new(to: IpAddr, full: u16, now: Instant) -> Self {
        let (window, size) = (Window::default(), PathSize::new(full, to, now));
        Self { to, window, size, trying: None, next: now, sequence: 0, sight: None }
    }

    /// The server's mesh address.
    pub(super) const fn to(&self) -> IpAddr {
        self.to
    }

    /// When there is something to do next.
    pub(super) fn due(&self, now: Instant) -> Instant {
        let decided = match &self.trying {
            None => self.size.due(),
            Some(trying) => self.give_up_at(trying, now),
        };
        self.next.min(decided)
    }

    /// The questions to ask now. `nonce` gives a random number each time.
    pub(super) fn turn(&mut self, now: Instant, mut nonce: impl FnMut() -> u64) -> Vec<Token> {
        self.decide(now);
        let sized = self.trying.is_none() && now >= self.size.due();
        if !sized && now < self.next {
            return Vec::new();
        }
        let small = self.token(SMALL_BYTES, nonce());
        self.window.asked(small, now);
        self.next = now + Duration::from_millis(PROBE_MS);
        let mut questions = vec![small];
        if sized {
            let size = self.size.next_try(now);
            let token = self.token(length_in(size, self.to), nonce());
            self.trying = Some(Trying { size, token, beside: small.sequence, answered: false });
            questions.push(token);
        }
        questions
    }

    /// Takes an answer from this server.
    pub(super) fn answered(&mut self, token: Token, clocks: WallClocks, now: Instant) {
        match &mut self.trying {
            Some(trying) if trying.token == token => trying.answered = true,
            _ => {
                self.window.answered(token, clocks, now);
            }
        }
        self.decide(now);
    }

    /// How the direct session is found, by what the interface says of it.
    pub(super) fn look(&mut self, session: &Session, now: Instant) -> Option<SightState> {
        let answers = Answers {
            last: self.window.last_answer(session.since),
            in_row: self.window.answered_in_row(session.since, now),
        };
        self.sight = direct_sight(self.sight, session, answers, now);
        self.sight
    }

    /// When something was answered last that went the way of this session; not before the two ends may both have gone over.
    pub(super) fn answered_at(&self, session: &Session) -> Instant {
        let settled = session.since + Duration::from_millis(SETTLE_MS);
        self.window.last_answer(session.since).map_or(settled, |last| last.max(settled))
    }

    /// What is known now.
    pub(super) fn finding(&self, now: Instant) -> Finding {
        Finding {
            to: self.to,
            round_trip: self.window.round_trip(),
            last_round_trip: self.window.last_round_trip(),
            loss_percent: self.window.loss_percent(now),
            narrowed: self.size.narrowed(),
            passes: self.size.passes(),
            size: self.size.in_use(),
            clock: self.window.clock(),
        }
    }

    /// Sees whether the sized probe has come to an end.
    fn decide(&mut self, now: Instant) {
        let Some(trying) = &self.trying else { return };
        let result = match self.window.came(trying.beside, now) {
            _ if trying.answered => Try::Passed,
            Some(Came::At(_)) if now >= self.give_up_at(trying, now) => Try::Failed,
            Some(Came::At(_)) | None => return,
            Some(Came::Never) => Try::Unknown,
        };
        let size = trying.size;
        self.trying = None;
        self.size.tried(size, result, now);
    }

    /// When a sized probe is given up: soon after the small one beside it was answered, or with it.
    fn give_up_at(&self, trying: &Trying, now: Instant) -> Instant {
        match self.window.came(trying.beside, now) {
            Some(Came::At(at)) => at + Duration::from_millis(SIZED_LATE_MS_MAX),
            Some(Came::Never) => now,
            None => now + Duration::from_millis(ANSWER_MS_MAX),
        }
    }

    fn token(&mut self, length: u16, nonce: u64) -> Token {
        self.sequence = self.sequence.wrapping_add(1);
        Token { sequence: self.sequence, nonce, length }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::health::path_size::Passes;

    const CLOCKS: WallClocks = WallClocks { theirs_us: 0, ours_us: 0 };

    /// A line over a path in virtual time.
    struct Path {
        line: Line,
        begun: Instant,
        now: Instant,
        round_trip: Duration,
        asked: u64,
    }

    impl Path {
        fn new(round_trip_ms: u64) -> Self {
            let begun = Instant::now();
            let line = Line::new("10.0.2.1".parse().unwrap(), 1420, begun);
            Self { line, begun, now: begun, round_trip: Duration::from_millis(round_trip_ms), asked: 0 }
        }

        /// Lets time go on; `comes` says of the nth question, of so many bytes, whether its answer comes.
        fn run(&mut self, seconds: u64, comes: impl Fn(u64, u16) -> bool) {
            let end = self.now + Duration::from_secs(seconds);
            let mut under_way: Vec<(Instant, Token)> = Vec::new();
            while self.now < end {
                for token in self.line.turn(self.now, || 7) {
                    self.asked += 1;
                    if comes(self.asked, token.length) {
                        under_way.push((self.now + self.round_trip, token));
                    }
                }
                let due = self.line.due(self.now);
                assert!(due > self.now, "a turn leaves nothing due at once");
                let arrival = under_way.iter().map(|(at, _)| *at).min();
                self.now = arrival.map_or(due, |at| at.min(due));
                let (arrived, rest) = under_way.into_iter().partition(|(at, _)| *at <= self.now);
                under_way = rest;
                for (_, token) in arrived {
                    self.line.answered(token, CLOCKS, self.now);
                }
            }
        }
    }

    #[test]
    fn a_good_path_is_asked_once_a_second_and_in_full_length_every_fifth() {
        let mut path = Path::new(75);
        path.run(60, |_, _| true);
        let found = path.line.finding(path.now);
        assert_eq!((found.round_trip, found.loss_percent), (Some(Duration::from_millis(75)), Some(0)));
        assert_eq!(found.full_size(), Some(true));
        assert!((60..=90).contains(&path.asked), "{} probes in a minute", path.asked);
    }

    #[test]
    fn a_path_that_swallows_large_packets_is_found_within_half_a_minute() {
        let mut path = Path::new(75);
        path.run(10, |_, _| true);
        path.run(30, |_, bytes| bytes + 28 <= 1220);
        let found = path.line.finding(path.now);
        assert_eq!((found.full_size(), found.passes), (Some(false), Some(Passes::Both)));
        assert!(found.narrowed.is_some_and(|size| (1213..=1220).contains(&size)), "{found:?}");
        assert_eq!(found.loss_percent, Some(0), "small ones pass");
    }

    #[test]
    fn a_path_that_loses_one_of_four_is_lossy_and_keeps_its_size() {
        let mut path = Path::new(8);
        path.run(300, |nth, _| nth % 4 != 0);
        let found = path.line.finding(path.now);
        assert!(found.loss_percent.is_some_and(|loss| (10..=50).contains(&loss)), "{found:?}");
        assert_eq!((found.narrowed, found.full_size()), (None, Some(true)));
    }

    #[test]
    fn a_path_that_is_cut_tells_loss_and_nothing_of_sizes() {
        let mut path = Path::new(8);
        path.run(10, |_, _| true);
        path.run(120, |_, _| false);
        let found = path.line.finding(path.now);
        assert_eq!((found.loss_percent, found.narrowed), (Some(100), None));
        assert!(path.now - path.begun >= Duration::from_secs(130));
    }
}
