use std::time::Duration;

use super::{Answer, Next, Shared, Step, Word};
use crate::{PresharedKey, is_fresh};

/// A new secret that has not brought a handshake after so long is taken back, in milliseconds: a session lives 120 s before
/// WireGuard makes the next, and 60 more are for trying.
pub const APPLY_MS_MAX: u64 = 180_000;

/// What a maker goes by.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The taker's newest answer.
    pub answer: Option<Answer>,
    /// The last handshake with it on the direct line, by this server's wall clock since the Unix epoch.
    pub last_handshake: Option<Duration>,
    /// When the interface got the secret that is in force, by the same clock.
    pub in_force_at: Option<Duration>,
    /// That clock now.
    pub now: Duration,
    /// Time since the step began or the agent started, in milliseconds.
    pub step_ms: u64,
}

/// What a maker does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Nothing, but to tell the taker its newest word until that has answered it.
    Rest,
    /// It becomes this: first on disk.
    Become(Shared),
    /// The two ends share nothing that is in force: they need a new secret.
    Renew,
}

impl Shared {
    /// What a maker says.
    #[must_use]
    pub fn word(&self) -> Word {
        Word { revision: self.revision, kept: self.kept_mark(), next: self.next.clone() }
    }

    /// What a maker becomes that is to share `key`; [`None`] while another one is on its way.
    #[must_use]
    pub fn begun(&self, key: PresharedKey) -> Option<Self> {
        let next = Some(Next { key, step: Step::Offer });
        self.next.is_none().then(|| self.changed(self.kept.clone(), next))
    }

    /// What a maker becomes that gives a secret up which is not in force yet.
    #[must_use]
    pub fn abandoned(&self) -> Option<Self> {
        let offered = self.next.as_ref().is_some_and(|next| next.step == Step::Offer);
        offered.then(|| self.changed(self.kept.clone(), None))
    }

    /// What a maker does now.
    #[must_use]
    pub fn turn(&self, facts: &Facts) -> Turn {
        if let Some(ahead) = facts.answer.as_ref().filter(|answer| answer.revision > self.revision) {
            // This end has lost what it had: what it says next has to count.
            return Turn::Become(Self { revision: ahead.revision.saturating_add(1), ..self.clone() });
        }
        let answer = facts.answer.as_ref().filter(|answer| answer.revision == self.revision);
        let differs = answer.is_some_and(|answer| answer.kept != self.kept_mark());
        let Some(next) = &self.next else {
            return if differs { Turn::Renew } else { Turn::Rest };
        };
        let held = answer.is_some_and(|answer| answer.next == self.next_mark());
        let heard = is_fresh(facts.last_handshake, facts.now);
        let proven = facts.in_force_at.is_some_and(|at| facts.last_handshake > Some(at));
        match next.step {
            // A line that is down would prove nothing, unless it is down because the two share nothing.
            Step::Offer if held && (heard || differs) => {
                let next = Next { step: Step::Apply, ..next.clone() };
                Turn::Become(self.changed(self.kept.clone(), Some(next)))
            }
            Step::Apply if proven => Turn::Become(self.changed(Some(next.key.clone()), None)),
            Step::Apply if facts.step_ms >= APPLY_MS_MAX && !differs => {
                Turn::Become(self.changed(self.kept.clone(), None))
            }
            Step::Offer | Step::Apply => Turn::Rest,
        }
    }

    const fn changed(&self, kept: Option<PresharedKey>, next: Option<Next>) -> Self {
        Self { revision: self.revision.saturating_add(1), kept, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> PresharedKey {
        PresharedKey::from_bytes([byte; 32]).unwrap()
    }

    fn second(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Both share a first secret, and the maker offers a second one, which the taker holds.
    fn offered() -> (Shared, Shared, Facts) {
        let first = Shared { revision: 4, kept: Some(key(1)), next: None };
        let maker = first.begun(key(2)).unwrap();
        let taker = first.following(&maker.word());
        let facts = Facts {
            answer: Some(taker.answer()),
            last_handshake: Some(second(900)),
            now: second(1_000),
            ..Facts::default()
        };
        (maker, taker, facts)
    }

    fn becomes(maker: &Shared, facts: &Facts) -> Shared {
        match maker.turn(facts) {
            Turn::Become(next) => next,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_secret_is_put_in_force_once_the_taker_holds_it_and_the_line_is_up() {
        let (maker, _, facts) = offered();
        let unanswered = Facts { answer: None, ..facts.clone() };
        assert_eq!(maker.turn(&unanswered), Turn::Rest);
        let silent = Facts { last_handshake: Some(second(800)), ..facts.clone() };
        assert_eq!(maker.turn(&silent), Turn::Rest, "a line that is down proves nothing");
        assert_eq!(maker.in_force(), Some(&key(1)));
        assert_eq!(becomes(&maker, &facts).in_force(), Some(&key(2)));
        assert_eq!(maker.begun(key(3)), None, "one at a time");
    }

    #[test]
    fn a_secret_is_kept_once_a_handshake_proves_it_and_taken_back_without_one() {
        let (maker, taker, facts) = offered();
        let applied = becomes(&maker, &facts);
        let taker = taker.following(&applied.word());
        assert_eq!(taker.in_force(), Some(&key(2)));
        let answer = Some(taker.answer());
        let before = Facts { answer, in_force_at: Some(second(950)), ..facts };
        assert_eq!(applied.turn(&before), Turn::Rest, "the handshake is older");
        assert_eq!(applied.abandoned(), None, "it is in force");
        let proven = Facts { last_handshake: Some(second(951)), ..before.clone() };
        let settled = becomes(&applied, &proven);
        assert_eq!((settled.kept.clone(), settled.next.clone()), (Some(key(2)), None));
        assert_eq!(taker.following(&settled.word()), settled, "both have forgotten the old one");

        let late = Facts { step_ms: APPLY_MS_MAX, ..before };
        let withdrawn = becomes(&applied, &late);
        assert_eq!((withdrawn.kept.clone(), withdrawn.next.clone()), (Some(key(1)), None));
        assert_eq!(taker.following(&withdrawn.word()), withdrawn, "both have forgotten the new one");
    }

    #[test]
    fn a_word_that_was_overtaken_changes_nothing() {
        let (maker, taker, facts) = offered();
        let applied = becomes(&maker, &facts);
        let taker = taker.following(&applied.word());
        assert_eq!(taker.following(&maker.word()), taker);
    }

    #[test]
    fn an_end_that_has_lost_its_secret_gets_a_new_one_without_the_old() {
        let (had, lost) = (Shared { revision: 4, kept: Some(key(1)), next: None }, Shared::default());
        for (maker, taker) in [(had.clone(), lost.clone()), (lost, had)] {
            let mut taker = taker.following(&maker.word());
            let mut facts = Facts { answer: Some(taker.answer()), ..Facts::default() };
            let maker = match maker.turn(&facts) {
                Turn::Become(ahead) => ahead,
                Turn::Renew => maker,
                Turn::Rest => panic!("the difference is not seen"),
            };
            taker = taker.following(&maker.word());
            facts.answer = Some(taker.answer());
            assert_eq!(maker.turn(&facts), Turn::Renew);
            let maker = maker.begun(key(9)).unwrap();
            taker = taker.following(&maker.word());
            facts.answer = Some(taker.answer());
            let maker = becomes(&maker, &facts);
            assert_eq!(maker.in_force(), Some(&key(9)), "though no line is up");
            let waits = Facts { step_ms: APPLY_MS_MAX, ..facts };
            taker = taker.following(&maker.word());
            let waits = Facts { answer: Some(taker.answer()), ..waits };
            assert_eq!(maker.turn(&waits), Turn::Rest, "there is nothing to go back to");
        }
    }

    #[test]
    fn a_taker_never_drops_what_it_keeps_for_nothing() {
        let taker = Shared { revision: 4, kept: Some(key(1)), next: None };
        let maker = Shared { revision: 9, kept: None, next: None };
        assert_eq!(taker.following(&maker.word()).in_force(), Some(&key(1)));
    }
}
