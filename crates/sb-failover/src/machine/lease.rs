//! Keeping the lease: renewals, and the moment when the right to write has ended.

use crate::mutant::Mutant;
use crate::timings::ms;
use crate::{BootTime, JournalEntry, Request, Role, Storage, Term, Trigger};

use super::pace::whole_ms;
use super::work::Purpose;
use super::{AfterFence, Machine, State};

impl Machine {
    /// Whether this state keeps the lease alive.
    pub(super) const fn holds_lease(&self) -> bool {
        match self.state {
            State::Elected
            | State::Promoting
            | State::Recording
            | State::Leading
            | State::Restarting
            | State::Reopening
            | State::Draining => true,
            State::Starting
            | State::Waiting
            | State::Initializing
            | State::Repairing
            | State::Following
            | State::Freezing
            | State::Frozen
            | State::Fetching
            | State::Claiming
            | State::Fencing
            | State::Releasing
            | State::Parked
            | State::Witnessing => false,
        }
    }

    /// Whether PostgreSQL may be writable in this state.
    const fn may_be_writable(&self) -> bool {
        self.holds_lease() && !matches!(self.state, State::Elected | State::Restarting)
    }

    /// The lease of the state at hand: lost, over, or to be renewed. A primary whose disk does not answer confirms
    /// nothing; it lets the lease lapse, because what hangs there cannot be proven to be gone.
    pub(super) fn keep_lease(&mut self) {
        if !self.holds_lease() {
            return;
        }
        if !self.lease_is_mine() || self.term() != self.keeper.term {
            if self.state != State::Elected {
                self.after_fence = AfterFence::Resume;
            }
            return self.go(Trigger::Deposed);
        }
        let blind = self.state == State::Promoting && self.rules.broken_by(Mutant::PromoteLate);
        if self.may_be_writable() && !blind {
            let over = self.fence_at();
            if over.is_none_or(|at| self.reached(at)) {
                self.journal_deadline(over);
                self.after_fence = AfterFence::Resume;
                return self.go(Trigger::DeadlinePassed);
            }
        }
        if self.guard_allows_renewal() && self.storage == Storage::Answers {
            self.renew();
            self.ask_failsafe();
        }
        self.arm();
    }

    fn journal_deadline(&mut self, passed: Option<BootTime>) {
        if let Some(at) = passed {
            let ago_ms = whole_ms(self.now.since(at));
            let (term, lead_ms) = (self.keeper.term, self.timings().fence_lead_ms);
            self.journal(JournalEntry::DeadlinePassed { term, ago_ms, lead_ms });
        }
    }

    /// When the guard kills: the fence lead before the lease ends.
    pub(super) fn fence_at(&self) -> Option<BootTime> {
        self.keeper.valid_until().map(|until| until - ms(self.timings().fence_lead_ms))
    }

    /// Whether at least `left_ms` are left before the fence.
    pub(super) fn lease_lasts(&self, left_ms: u64) -> bool {
        self.fence_at().is_some_and(|at| self.now + ms(left_ms) < at)
    }

    fn renew(&mut self) {
        let renew = ms(self.timings().renew_ms);
        match self.keeper.next_renewal(renew, self.now) {
            None => {
                if let Some(at) = self.keeper.oldest_open_ends(renew, self.now) {
                    self.wake_at(at);
                }
            }
            Some(at) => {
                if self.reached(at) && self.deadline_is_low_enough() {
                    self.send_renewal();
                }
            }
        }
    }

    /// R2: before a shorter renewal is proposed, the own and the guard's deadline fall to what it will allow.
    fn deadline_is_low_enough(&mut self) -> bool {
        let (now, ttl, lead) = (self.now, ms(self.ttl_ms()), ms(self.timings().fence_lead_ms));
        if self.rules.broken_by(Mutant::ShortenWithoutLowering) {
            return true;
        }
        if self.keeper.reaches().is_some_and(|reaches| reaches > now + ttl) {
            self.keeper.lower(now + ttl);
            self.arm();
        }
        self.guard.and_then(|g| g.armed).is_none_or(|armed| armed.fence_at <= now + ttl - lead)
    }

    fn send_renewal(&mut self) {
        let renewal = self.keeper.next_number();
        let ttl_ms = self.ttl_ms();
        let admissions = self.record.as_ref().map_or(0, |r| r.admissions);
        let primary = self.postgres.as_ref().filter(|p| p.role == Role::Primary);
        let request = Request::Renew {
            holder: self.config.me.clone(),
            incarnation: self.config.member.incarnation,
            term: self.keeper.term,
            renewal,
            ttl_ms,
            position: primary.and_then(|p| p.position.clone()),
            admissions,
        };
        let id = self.propose(request);
        self.keeper.propose(renewal, id, ttl_ms, self.now);
        let next = self.now + ms(self.timings().renew_ms);
        self.wake_at(next);
    }

    pub(super) fn register(&mut self) {
        let me = &self.config.me;
        let known = self.record.as_ref().is_none_or(|r| r.members.get(me) == Some(&self.config.member));
        if !known {
            self.ask(Purpose::Register, |m| Request::Register {
                server: m.config.me.clone(),
                member: m.config.member.clone(),
            });
        }
    }

    /// A pause ends by itself: the holder proposes it, the others a little later each.
    pub(super) fn end_pause(&mut self) {
        let Some(record) = self.record.clone() else {
            return;
        };
        let (Some((id, seen)), Some(pause)) = (self.pause_seen, &record.pause) else {
            return;
        };
        let rank = record.members.keys().position(|s| *s == self.config.me).unwrap_or(record.members.len());
        let later = if self.lease_is_mine() { 0 } else { 2_000 + 500 * rank as u64 };
        let at = seen + ms(pause.for_ms) + ms(later);
        if self.reached(at) {
            self.ask(Purpose::ClearPause, |_| Request::ClearPause { id });
        }
    }

    /// Begins to hold the lease of `term`; grants of that very term stay.
    pub(super) fn hold(&mut self, term: Term) {
        if self.keeper.term != term {
            self.keeper.renounce(term);
        }
        self.told = None;
    }
}
