use std::collections::BTreeSet;
use std::time::Duration;

use sb_topology::ServerName;
use serde::{Deserialize, Serialize};

use crate::mutant::{Mutant, Rules};
use crate::trace::moment;
use crate::{BootTime, Round};

/// How many rounds may be unanswered at a time; an older one is forgotten.
const ROUNDS_MAX: usize = 8;

/// One round of questions: who has not said yes, and until when everybody's yes would count.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Open {
    round: Round,
    ttl: Duration,
    #[serde(with = "moment")]
    until: BootTime,
    asked: usize,
    missing: BTreeSet<ServerName>,
}

/// The rounds of questions of a holder without a store (R10). Knows nothing of the store's renewals.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Rounds {
    open: Vec<Open>,
    #[serde(with = "moment")]
    last_sent: Option<BootTime>,
}

impl Rounds {
    /// A round begins now.
    pub(super) fn begin(
        &mut self,
        round: Round,
        members: BTreeSet<ServerName>,
        ttl: Duration,
        now: BootTime,
    ) {
        if self.open.len() >= ROUNDS_MAX {
            self.open.remove(0);
        }
        self.open.push(Open { round, ttl, until: now + ttl, asked: members.len(), missing: members });
        self.last_sent = Some(now);
    }

    /// `from` said yes in `round`.
    pub(super) fn agreed(&mut self, round: Round, from: &ServerName) {
        if let Some(open) = self.open.iter_mut().find(|o| o.round == round) {
            open.missing.remove(from);
        }
    }

    /// Until when the newest complete round counts: from before it was asked (R2). What is older than that is
    /// forgotten.
    pub(super) fn take_complete(&mut self, now: BootTime, rules: Rules) -> Option<BootTime> {
        let majority = |o: &Open| 2 * (o.asked - o.missing.len()) >= o.asked;
        let majority_is_enough = rules.broken_by(Mutant::FailsafeMajority);
        let enough = |o: &Open| o.missing.is_empty() || (majority_is_enough && majority(o));
        let index = self.open.iter().rposition(enough)?;
        let complete = self.open.drain(..=index).next_back()?;
        let from_answers = rules.broken_by(Mutant::FailsafeFromAnswers);
        Some(if from_answers { now + complete.ttl } else { complete.until })
    }

    /// Bounds everything asked so far.
    pub(super) fn lower(&mut self, until: BootTime) {
        for open in &mut self.open {
            open.until = open.until.min(until);
        }
    }

    /// The longest that anything asked for reaches.
    pub(super) fn reaches(&self) -> Option<BootTime> {
        self.open.iter().map(|o| o.until).max()
    }

    pub(super) const fn last_sent(&self) -> Option<BootTime> {
        self.last_sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timings::ms;

    fn at(milliseconds: u64) -> BootTime {
        BootTime::since_boot(ms(milliseconds))
    }

    fn members(names: &[&str]) -> BTreeSet<ServerName> {
        names.iter().map(|n| ServerName::new(*n).unwrap()).collect()
    }

    fn agree(rounds: &mut Rounds, round: u64, name: &str) {
        rounds.agreed(Round::new(round), &ServerName::new(name).unwrap());
    }

    #[test]
    fn a_round_counts_from_before_it_was_asked_and_only_when_all_have_agreed() {
        let mut rounds = Rounds::default();
        rounds.begin(Round::new(1), members(&["a", "b"]), ms(3_500), at(1_000));
        agree(&mut rounds, 1, "a");
        assert_eq!(rounds.take_complete(at(1_100), Rules::default()), None);
        agree(&mut rounds, 1, "b");
        assert_eq!(rounds.take_complete(at(1_900), Rules::default()), Some(at(4_500)));
    }

    #[test]
    fn answers_of_two_rounds_do_not_make_one() {
        let mut rounds = Rounds::default();
        rounds.begin(Round::new(1), members(&["a", "b"]), ms(3_500), at(1_000));
        rounds.begin(Round::new(2), members(&["a", "b"]), ms(3_500), at(1_500));
        agree(&mut rounds, 1, "a");
        agree(&mut rounds, 2, "b");
        assert_eq!(rounds.take_complete(at(1_600), Rules::default()), None);
        agree(&mut rounds, 1, "b");
        assert_eq!(
            rounds.take_complete(at(1_700), Rules::default()),
            Some(at(4_500)),
            "late, and for its own start"
        );
    }

    #[test]
    fn a_lowered_round_does_not_reach_beyond_the_bound() {
        let mut rounds = Rounds::default();
        rounds.begin(Round::new(1), members(&[]), ms(9_000), at(0));
        rounds.lower(at(2_000));
        assert_eq!(rounds.take_complete(at(100), Rules::default()), Some(at(2_000)));
    }
}
