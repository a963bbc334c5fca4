use std::time::Duration;

use std::collections::BTreeSet;

use sb_topology::ServerName;
use serde::{Deserialize, Serialize};

use crate::mutant::{Mutant, Rules};
use crate::timings::ms;
use crate::trace::moment;
use crate::{BootTime, ProposalId, ProposalResult, RenewalNumber, Round, Session, Term};

use super::rounds::Rounds;

/// How many renewals may be unanswered at a time.
pub(super) const OPEN_GRANTS_MAX: usize = 2;
/// After how many renew intervals an unanswered renewal is no longer waited for.
const OPEN_INTERVALS_MAX: u32 = 3;
/// How many renewals are remembered in case the record shows later that they counted.
const GRANTS_MAX: usize = 8;

/// A renewal (or takeover) that was proposed and may count.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Grant {
    number: RenewalNumber,
    id: ProposalId,
    #[serde(with = "moment")]
    sent: BootTime,
    ttl: Duration,
    #[serde(with = "moment")]
    until: BootTime,
    open: bool,
}

/// A renewal that counted, as the holder measured it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    /// From its proposal until it was seen to count.
    pub(super) round_trip: Duration,
    /// Since the one that counted before was sent: how old the lease had become.
    pub(super) since_last: Option<Duration>,
}

/// The holder's side of the lease: until when it may write, by its own clock (L1).
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Keeper {
    session: Session,
    count: u64,
    /// The term that the grants are for.
    pub(super) term: Term,
    grants: Vec<Grant>,
    #[serde(with = "moment")]
    valid_until: Option<BootTime>,
    #[serde(with = "moment")]
    last_sent: Option<BootTime>,
    /// When the newest renewal that counted was sent.
    #[serde(with = "moment")]
    confirmed: Option<BootTime>,
    rounds: Rounds,
    #[serde(skip)]
    rules: Rules,
}

impl Keeper {
    pub(super) fn new(session: Session, rules: Rules) -> Self {
        Self {
            session,
            count: 0,
            term: Term::default(),
            grants: Vec::new(),
            valid_until: None,
            last_sent: None,
            confirmed: None,
            rounds: Rounds::default(),
            rules,
        }
    }

    /// Forgets every right: from here on only a number proposed later can count.
    pub(super) fn renounce(&mut self, term: Term) {
        self.term = term;
        self.grants.clear();
        self.valid_until = None;
        self.last_sent = None;
        self.confirmed = None;
        self.rounds = Rounds::default();
    }

    /// Takes over the deadline that the guard kept while the agent was away.
    pub(super) fn adopt(&mut self, term: Term, valid_until: BootTime) {
        self.renounce(term);
        self.valid_until = Some(valid_until);
    }

    pub(super) const fn valid_until(&self) -> Option<BootTime> {
        self.valid_until
    }

    /// The number for the next renewal, takeover or release.
    pub(super) fn next_number(&mut self) -> RenewalNumber {
        self.count += 1;
        RenewalNumber { session: self.session, count: self.count }
    }

    /// Notes a renewal that is proposed now. A shorter one bounds those before it: if they count later, they
    /// must not reach beyond it.
    pub(super) fn propose(&mut self, number: RenewalNumber, id: ProposalId, ttl_ms: u64, now: BootTime) {
        let ttl = ms(ttl_ms);
        if !self.rules.broken_by(Mutant::ShortenWithoutLowering) {
            self.lower(now + ttl);
        }
        if self.grants.len() >= GRANTS_MAX {
            self.grants.remove(0);
        }
        self.grants.push(Grant { number, id, sent: now, ttl, until: now + ttl, open: true });
        self.last_sent = Some(now);
    }

    /// Bounds everything granted so far.
    pub(super) fn lower(&mut self, until: BootTime) {
        for grant in &mut self.grants {
            grant.until = grant.until.min(until);
        }
        self.rounds.lower(until);
        self.valid_until = self.valid_until.map(|v| v.min(until));
    }

    /// The record shows that `number` counted.
    pub(super) fn seen(&mut self, number: RenewalNumber, now: BootTime) -> Option<Counted> {
        let grant = self.grants.iter().find(|g| g.number == number)?;
        let from_receipt = self.rules.broken_by(Mutant::CountFromReceipt);
        let until = if from_receipt { now + grant.ttl } else { grant.until };
        let sent = grant.sent;
        let round_trip = now.since(sent);
        let since_last = self.confirmed.map(|before| now.since(before));
        self.confirmed = Some(self.confirmed.map_or(sent, |c| c.max(sent)));
        self.extend(until);
        // Smaller numbers can no longer extend anything: they were sent before.
        self.grants.retain(|g| g.number > number);
        Some(Counted { round_trip, since_last })
    }

    fn extend(&mut self, until: BootTime) {
        self.valid_until = Some(self.valid_until.map_or(until, |v| v.max(until)));
    }

    /// When the newest renewal that counted was sent; [`None`] before the first of this run and term.
    pub(super) const fn confirmed(&self) -> Option<BootTime> {
        self.confirmed
    }

    /// Notes a round of questions that is asked now.
    pub(super) fn ask(&mut self, round: Round, members: BTreeSet<ServerName>, ttl_ms: u64, now: BootTime) {
        self.rounds.begin(round, members, ms(ttl_ms), now);
    }

    /// When the next round is due.
    pub(super) fn next_round(&self, renew: Duration, now: BootTime) -> BootTime {
        self.rounds.last_sent().map_or(now, |sent| sent + renew)
    }

    /// A member said yes in a round.
    pub(super) fn agreed(&mut self, round: Round, from: &ServerName) {
        self.rounds.agreed(round, from);
    }

    /// Counts a round to which everybody has said yes; whether there was one.
    pub(super) fn count_round(&mut self, now: BootTime) -> bool {
        let Some(until) = self.rounds.take_complete(now, self.rules) else {
            return false;
        };
        self.extend(until);
        true
    }

    /// A proposal was answered.
    pub(super) fn answered(
        &mut self,
        id: ProposalId,
        result: &ProposalResult,
        now: BootTime,
    ) -> Option<Counted> {
        let index = self.grants.iter().position(|g| g.id == id)?;
        match result {
            ProposalResult::Applied => return self.seen(self.grants[index].number, now),
            ProposalResult::Rejected(_) => {
                self.grants.remove(index);
            }
            ProposalResult::Ambiguous => self.grants[index].open = false,
        }
        None
    }

    /// When the next renewal is due; [`None`] while too many are unanswered.
    pub(super) fn next_renewal(&self, renew: Duration, now: BootTime) -> Option<BootTime> {
        let patience = renew * OPEN_INTERVALS_MAX;
        let open = self.grants.iter().filter(|g| g.open && now < g.sent + patience).count();
        if open >= OPEN_GRANTS_MAX {
            return None;
        }
        Some(self.last_sent.map_or(now, |sent| sent + renew))
    }

    /// When the oldest unanswered renewal stops being waited for.
    pub(super) fn oldest_open_ends(&self, renew: Duration, now: BootTime) -> Option<BootTime> {
        let ends = self.grants.iter().filter(|g| g.open).map(|g| g.sent + renew * OPEN_INTERVALS_MAX);
        ends.filter(|at| *at > now).min()
    }

    /// The longest that anything granted or asked for reaches.
    pub(super) fn reaches(&self) -> Option<BootTime> {
        let rounds = self.rounds.reaches();
        self.grants.iter().map(|g| g.until).chain(self.valid_until).chain(rounds).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL_MS: u64 = 3_500;

    fn at(milliseconds: u64) -> BootTime {
        BootTime::since_boot(ms(milliseconds))
    }

    fn keeper() -> Keeper {
        Keeper::new(Session::new(1), Rules::default())
    }

    fn propose(keeper: &mut Keeper, id: u64, ttl_ms: u64, now: u64) -> RenewalNumber {
        let number = keeper.next_number();
        keeper.propose(number, ProposalId::new(id), ttl_ms, at(now));
        number
    }

    #[test]
    fn the_lease_counts_from_before_the_question() {
        let mut keeper = keeper();
        propose(&mut keeper, 1, TTL_MS, 1_000);
        keeper.answered(ProposalId::new(1), &ProposalResult::Applied, at(3_000));
        assert_eq!(keeper.valid_until(), Some(at(4_500)));
    }

    #[test]
    fn an_ambiguous_answer_extends_nothing_until_the_record_shows_it() {
        let mut keeper = keeper();
        let number = propose(&mut keeper, 1, TTL_MS, 1_000);
        keeper.answered(ProposalId::new(1), &ProposalResult::Ambiguous, at(2_000));
        assert_eq!(keeper.valid_until(), None);
        keeper.seen(number, at(2_500));
        assert_eq!(keeper.valid_until(), Some(at(4_500)));
    }

    #[test]
    fn a_longer_grant_that_counts_late_does_not_reach_beyond_a_shorter_one() {
        let mut keeper = keeper();
        propose(&mut keeper, 1, 10_000, 0);
        propose(&mut keeper, 2, 2_000, 1_000);
        keeper.answered(ProposalId::new(1), &ProposalResult::Applied, at(1_500));
        assert_eq!(keeper.valid_until(), Some(at(3_000)));
    }

    #[test]
    fn nothing_granted_before_a_release_counts_after_it() {
        let mut keeper = keeper();
        let number = propose(&mut keeper, 1, TTL_MS, 0);
        keeper.renounce(Term::new(1));
        keeper.seen(number, at(100));
        keeper.answered(ProposalId::new(1), &ProposalResult::Applied, at(100));
        assert_eq!(keeper.valid_until(), None);
    }

    #[test]
    fn two_unanswered_renewals_are_enough() {
        let mut keeper = keeper();
        propose(&mut keeper, 1, TTL_MS, 0);
        propose(&mut keeper, 2, TTL_MS, 500);
        assert_eq!(keeper.next_renewal(ms(500), at(1_000)), None);
        assert_eq!(keeper.oldest_open_ends(ms(500), at(1_000)), Some(at(1_500)));
        assert_eq!(keeper.next_renewal(ms(500), at(1_500)), Some(at(1_000)));
    }
}
