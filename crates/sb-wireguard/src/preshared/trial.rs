use std::time::{Duration, Instant};

use super::Shared;
use crate::PresharedKey;

/// How long a taker that does not hear the maker tries each of two secrets, in milliseconds: WireGuard tries a handshake
/// every 5 s.
pub const TRIAL_MS: u64 = 11_000;

/// Which of two secrets a taker tries while it does not hear the maker. It reads no clock.
#[derive(Debug, Default)]
pub struct Trial {
    /// Of the word that said which to use.
    revision: u64,
    /// Since when the one in `tries` is tried.
    since: Option<Instant>,
    tries: Tries,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Tries {
    /// As the maker said.
    #[default]
    Told,
    /// The other one.
    Other,
}

/// Whether a taker hears the maker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// There was a handshake lately.
    Heard,
    /// There was none.
    Silent,
}

impl Trial {
    /// Goes on to the other one when the turn of this one is over.
    pub fn look(&mut self, shared: &Shared, line: Line, now: Instant) {
        if shared.revision != self.revision || self.since.is_none() || shared.next.is_none() {
            *self = Self { revision: shared.revision, since: Some(now), tries: Tries::Told };
        }
        let over = |since: Instant| now.saturating_duration_since(since) >= Duration::from_millis(TRIAL_MS);
        match line {
            // Whichever is tried is the right one; a turn begins when it is not heard any more.
            Line::Heard => self.since = Some(now),
            Line::Silent if self.since.is_some_and(over) => {
                self.tries = if self.tries == Tries::Told { Tries::Other } else { Tries::Told };
                self.since = Some(now);
            }
            Line::Silent => {}
        }
    }

    /// The secret for the interface.
    #[must_use]
    pub fn in_force<'a>(&self, shared: &'a Shared) -> Option<&'a PresharedKey> {
        let told = shared.in_force();
        match (&shared.next, self.tries) {
            (Some(next), Tries::Other) if self.revision == shared.revision => {
                if told == Some(&next.key) {
                    shared.kept.as_ref()
                } else {
                    Some(&next.key)
                }
            }
            (Some(_) | None, _) => told,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Next, Step};
    use super::*;

    fn key(byte: u8) -> PresharedKey {
        PresharedKey::from_bytes([byte; 32]).unwrap()
    }

    #[test]
    fn a_taker_that_hears_nothing_tries_both_of_its_secrets_in_turn() {
        let next = Some(Next { key: key(2), step: Step::Apply });
        let shared = Shared { revision: 3, kept: Some(key(1)), next };
        let (mut trial, begun) = (Trial::default(), Instant::now());
        let mut at = |ms, line| {
            trial.look(&shared, line, begun + Duration::from_millis(ms));
            trial.in_force(&shared).cloned()
        };
        assert_eq!(at(0, Line::Silent), Some(key(2)), "as it was told");
        assert_eq!(at(TRIAL_MS, Line::Silent), Some(key(1)));
        assert_eq!(at(2 * TRIAL_MS, Line::Silent), Some(key(2)));
        assert_eq!(at(3 * TRIAL_MS, Line::Silent), Some(key(1)));
        assert_eq!(at(9 * TRIAL_MS, Line::Heard), Some(key(1)), "it stays with what is heard");
        assert_eq!(at(10 * TRIAL_MS - 1, Line::Silent), Some(key(1)));
        let told = Shared { revision: 4, ..shared.clone() };
        trial.look(&told, Line::Silent, begun);
        assert_eq!(trial.in_force(&told), Some(&key(2)), "a new word counts");
    }

    #[test]
    fn a_taker_with_one_secret_uses_no_other_whatever_it_hears() {
        let shared = Shared { revision: 3, kept: Some(key(1)), next: None };
        let (mut trial, begun) = (Trial::default(), Instant::now());
        for turn in 0..9 {
            trial.look(&shared, Line::Silent, begun + Duration::from_millis(turn * TRIAL_MS));
            assert_eq!(trial.in_force(&shared), Some(&key(1)));
        }
    }
}
