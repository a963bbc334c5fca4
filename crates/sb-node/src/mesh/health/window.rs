use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::datagram::Token;

/// So many of the newest small probes to one peer are remembered: a minute, at one a second.
pub(super) const PROBES_MAX: usize = 60;

/// A probe that was not answered after so long is lost, in milliseconds.
pub(super) const ANSWER_MS_MAX: u64 = 2_000;

/// The newest small probes to one peer, and what became of them.
#[derive(Debug, Default)]
pub(super) struct Window {
    asked: VecDeque<Asked>,
    last_round_trip: Option<Duration>,
}

#[derive(Debug)]
struct Asked {
    token: Token,
    at: Instant,
    answer: Option<Answer>,
}

#[derive(Debug, Clone, Copy)]
struct Answer {
    at: Instant,
    round_trip: Duration,
    clock: ClockOffset,
}

/// How far another server's wall clock is ahead of this one's. For people: nothing decides by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mesh) struct ClockOffset {
    /// Theirs less ours, in microseconds.
    pub(in crate::mesh) micros: i64,
    /// The truth is no further away than this, in microseconds: half the round trip, since nobody knows how it is
    /// divided between there and back.
    pub(in crate::mesh) uncertainty_us: u64,
}

/// The wall clocks of one round trip, in microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WallClocks {
    /// The other server's when it answered.
    pub(super) theirs_us: u64,
    /// This server's when the answer came.
    pub(super) ours_us: u64,
}

impl Window {
    /// Notes a question.
    pub(super) fn asked(&mut self, token: Token, now: Instant) {
        if self.asked.len() == PROBES_MAX {
            self.asked.pop_front();
        }
        self.asked.push_back(Asked { token, at: now, answer: None });
    }

    /// Takes an answer. False for one that nobody waits for: forged, repeated, or too late.
    pub(super) fn answered(&mut self, token: Token, clocks: WallClocks, now: Instant) -> bool {
        let Some(asked) = self.asked.iter_mut().find(|asked| asked.token == token) else { return false };
        let round_trip = now.saturating_duration_since(asked.at);
        if asked.answer.is_some() || round_trip > Duration::from_millis(ANSWER_MS_MAX) {
            return false;
        }
        asked.answer = Some(Answer { at: now, round_trip, clock: ClockOffset::new(clocks, round_trip) });
        self.last_round_trip = Some(round_trip);
        true
    }

    /// The newest round trip that was measured.
    pub(super) const fn last_round_trip(&self) -> Option<Duration> {
        self.last_round_trip
    }

    /// The middle one of the window's round trips: one that is slow by accident moves nothing.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        let mut all: Vec<Duration> = self.answers().map(|answer| answer.round_trip).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied()
    }

    /// How many of a hundred probes were lost, rounded up so that one is seen; [`None`] while none has been decided.
    pub(super) fn loss_percent(&self, now: Instant) -> Option<u8> {
        let decided: Vec<bool> = self.decided(now).collect();
        let lost = decided.iter().filter(|came| !**came).count();
        (!decided.is_empty()).then(|| {
            u8::try_from((lost * 100).div_ceil(decided.len())).expect("at most a hundred of a hundred")
        })
    }

    /// The other's wall clock, by the quickest round trip of the window.
    pub(super) fn clock(&self) -> Option<ClockOffset> {
        self.answers().min_by_key(|answer| answer.round_trip).map(|answer| answer.clock)
    }

    /// When the last answer came to a question not older than `since`.
    pub(super) fn last_answer(&self, since: Instant) -> Option<Instant> {
        self.asked
            .iter()
            .filter(|asked| asked.at >= since)
            .filter_map(|asked| asked.answer)
            .map(|it| it.at)
            .max()
    }

    /// How many of the newest questions, none older than `since`, were answered without one that was lost between.
    pub(super) fn answered_in_row(&self, since: Instant, now: Instant) -> usize {
        let newest = self.asked.iter().rev().take_while(|asked| asked.at >= since);
        newest.filter_map(|asked| asked.came(now)).take_while(|came| *came).count()
    }

    /// Whether the question with this sequence was answered; [`None`] while that may still come.
    pub(super) fn came(&self, sequence: u32, now: Instant) -> Option<Came> {
        let asked = self.asked.iter().find(|asked| asked.token.sequence == sequence)?;
        match asked.answer {
            Some(answer) => Some(Came::At(answer.at)),
            None => asked.came(now).map(|_| Came::Never),
        }
    }

    fn answers(&self) -> impl Iterator<Item = Answer> {
        self.asked.iter().filter_map(|asked| asked.answer)
    }

    fn decided(&self, now: Instant) -> impl Iterator<Item = bool> {
        self.asked.iter().filter_map(move |asked| asked.came(now))
    }
}

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// Its answer came then.
    At(Instant),
    /// It counts as lost.
    Never,
}

impl Asked {
    /// [`None`] while the answer may still come.
    fn came(&self, now: Instant) -> Option<bool> {
        let waited = now.saturating_duration_since(self.at);
        match self.answer {
            Some(_) => Some(true),
            None => (waited > Duration::from_millis(ANSWER_MS_MAX)).then_some(false),
        }
    }
}

impl ClockOffset {
    /// The other clock was read between the question and the answer; the middle is the best guess.
    fn new(clocks: WallClocks, round_trip: Duration) -> Self {
        let uncertainty_us = u64::try_from(round_trip.as_micros() / 2).unwrap_or(u64::MAX);
        let ours = i128::from(clocks.ours_us) - i128::from(uncertainty_us);
        let micros = i128::from(clocks.theirs_us) - ours;
        let bounded = micros.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        Self { micros: i64::try_from(bounded).expect("it was bounded"), uncertainty_us }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAME: WallClocks = WallClocks { theirs_us: 5_000_000, ours_us: 5_000_000 };

    fn token(sequence: u32) -> Token {
        Token { sequence, nonce: u64::from(sequence) * 7, length: 64 }
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn forged_repeated_and_late_answers_count_for_nothing() {
        let begun = Instant::now();
        let mut window = Window::default();
        window.asked(token(1), begun);
        window.asked(token(2), begun + ms(1_000));
        for forged in [Token { nonce: 0, ..token(1) }, Token { length: 65, ..token(1) }, token(3)] {
            assert!(!window.answered(forged, SAME, begun + ms(10)));
        }
        assert!(window.answered(token(1), SAME, begun + ms(10)));
        assert!(!window.answered(token(1), SAME, begun + ms(11)), "a second time");
        assert!(!window.answered(token(2), SAME, begun + ms(3_001)), "after its time");
        assert_eq!(window.loss_percent(begun + ms(3_001)), Some(50));
        assert_eq!(window.round_trip(), Some(ms(10)));
    }

    #[test]
    fn a_question_that_may_still_be_answered_is_not_lost() {
        let begun = Instant::now();
        let mut window = Window::default();
        assert_eq!(window.loss_percent(begun), None);
        window.asked(token(1), begun);
        assert_eq!(window.loss_percent(begun + ms(ANSWER_MS_MAX)), None);
        assert_eq!(window.loss_percent(begun + ms(ANSWER_MS_MAX + 1)), Some(100));
    }

    #[test]
    fn the_clock_is_told_by_the_quickest_round_trip() {
        let begun = Instant::now();
        let mut window = Window::default();
        // Theirs is 3 s ahead; the slow answer was held up on its way back, which looks like less.
        for (sequence, round_trip, theirs_us) in [(1, 100, 13_005_000), (2, 10, 13_005_000)] {
            window.asked(token(sequence), begun);
            let clocks = WallClocks { theirs_us, ours_us: 10_000_000 + round_trip * 1_000 };
            assert!(window.answered(token(sequence), clocks, begun + ms(round_trip)));
        }
        assert_eq!(window.clock(), Some(ClockOffset { micros: 3_000_000, uncertainty_us: 5_000 }));
    }

    #[test]
    fn a_row_of_answers_ends_at_a_lost_one_and_at_the_beginning() {
        let begun = Instant::now();
        let mut window = Window::default();
        for second in 0..6 {
            let at = begun + ms(u64::from(second) * 1_000);
            window.asked(token(second), at);
            if second != 1 {
                assert!(window.answered(token(second), SAME, at + ms(8)));
            }
        }
        let now = begun + ms(5_100);
        assert_eq!(window.answered_in_row(begun, now), 4);
        assert_eq!(window.answered_in_row(begun + ms(4_000), now), 2);
        assert_eq!(window.last_answer(begun + ms(6_000)), None);
    }

    proptest! {
        /// Whatever is lost, the window says how much of it was, and forgets what is older than it.
        #[test]
        fn loss_is_that_of_the_newest_probes(came in proptest::collection::vec(any::<bool>(), 1..200)) {
            let begun = Instant::now();
            let mut window = Window::default();
            for (second, came) in came.iter().enumerate() {
                let at = begun + Duration::from_secs(second as u64);
                let token = token(u32::try_from(second).unwrap());
                window.asked(token, at);
                if *came {
                    prop_assert!(window.answered(token, SAME, at + ms(75)));
                }
            }
            let newest = &came[came.len().saturating_sub(PROBES_MAX)..];
            let lost = newest.iter().filter(|came| !**came).count();
            let percent = (lost * 100).div_ceil(newest.len());
            let end = begun + Duration::from_secs(came.len() as u64 + 2);
            prop_assert_eq!(window.loss_percent(end).map(usize::from), Some(percent));
        }
    }
}
