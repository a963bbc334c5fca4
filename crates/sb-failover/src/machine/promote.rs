//! From the lease of a new term to a primary with clients.

use sb_pgtypes::{Lineage, TimelineId};

use crate::mutant::Mutant;
use crate::record::Standing;
use crate::timings::ms;
use crate::{Command, JournalEntry, Phase, Request, Role, Trigger};

use super::work::Purpose;
use super::{AfterFence, Machine, State};

/// Whether the record has this term's promotion.
#[derive(Clone, Copy)]
enum OnRecord {
    /// It has the one that serves here.
    This,
    /// It has none, as far as is known here.
    NotYet,
    /// It has another of the same term: of an earlier run, carried out after this one had begun.
    Another,
}

impl Machine {
    const GIVE_BACK: AfterFence = AfterFence::GiveBack { end: None, to: None };

    pub(super) fn step_elected(&mut self) {
        let limit = self.stage.since + ms(self.timings().promote_limit_ms);
        if self.reached(limit) {
            return self.go_fence(Trigger::PromotionFailed, Self::GIVE_BACK);
        }
        let role = self.postgres.as_ref().map(|p| p.role);
        if self.postgres_is_gone() || role == Some(Role::Stopped) {
            return self.begin(|op| Command::StartStandby { op, upstream: None });
        }
        if role != Some(Role::Standby) {
            return;
        }
        if self.term_was_promoted() {
            let Some(end) = self.own_position().cloned() else {
                return;
            };
            let after = AfterFence::GiveBack { end: Some(end), to: None };
            return self.go_fence(Trigger::PromotionFailed, after);
        }
        let sync = self.sync_target();
        if self.is_synchronous() && self.setting.as_ref().map(|s| &s.sync) != Some(&sync) {
            return self.begin(|op| Command::SetSyncStandbys { op, sync });
        }
        let term = self.keeper.term;
        if self.phase != (Phase::Promoting { term }) {
            return self.begin(|op| Command::Persist { op, phase: Phase::Promoting { term } });
        }
        if !(self.may_promote() && self.record_is_of_this_run() && self.idle()) {
            return;
        }
        if self.timeline_to_take().is_some() {
            self.go(Trigger::MayPromote);
        } else if self.record.as_ref().is_some_and(|r| r.term() == term) {
            self.ask(Purpose::ReserveTimeline, |m| Request::ReserveTimeline {
                holder: m.config.me.clone(),
                incarnation: m.config.member.incarnation,
                term,
                session: m.config.session,
            });
        }
    }

    /// The number of the next promotion: reserved for this run of the agent, which has not used it. What the run before it
    /// has done with its number is not known.
    fn timeline_to_take(&self) -> Option<TimelineId> {
        let record = self.record.as_ref()?;
        let reserved = record.reserved_timeline(self.keeper.term, self.config.session)?;
        (self.timeline_taken < Some(reserved)).then_some(reserved)
    }

    /// Whether this term's promotion is on record: then its primary was this very data, which has been a standby
    /// since. A second promotion of one term would fork its line.
    fn term_was_promoted(&self) -> bool {
        let told = self.record.as_ref().and_then(|r| r.lineage.as_ref()).map(|l| l.term);
        told == Some(self.keeper.term)
    }

    /// Whether the record at hand has a renewal or the takeover of this run of the agent, and with it whatever an earlier
    /// run is known to have brought about. The answer to a renewal may come before the record that it is in, and one
    /// replayed at the start may not show yet that this term was promoted.
    pub(super) fn record_is_of_this_run(&self) -> bool {
        self.lease().is_some_and(|l| l.renewal.session == self.config.session)
    }

    /// L5: enough of the lease is left, and the guard will end it.
    fn may_promote(&self) -> bool {
        if self.rules.broken_by(Mutant::PromoteLate) {
            return true;
        }
        self.guard_is_armed() && self.lease_lasts(self.timings().promote_budget_ms)
    }

    pub(super) fn step_promoting(&mut self) {
        let limit = self.stage.since + ms(self.timings().promote_limit_ms);
        if let Some(lineage) = self.stage.lineage.clone() {
            let term = self.keeper.term;
            self.journal(JournalEntry::Promoted { term, lineage: lineage.clone() });
            self.go(Trigger::Promoted);
            self.stage.lineage = Some(lineage);
            return;
        }
        if self.stage.failed || self.reached(limit) || self.postgres_is_gone() {
            return self.go_fence(Trigger::PromotionFailed, Self::GIVE_BACK);
        }
        if self.work.is_none() {
            if !self.may_promote() {
                return self.go_fence(Trigger::PromotionFailed, Self::GIVE_BACK);
            }
            let Some(timeline) = self.timeline_to_take() else {
                return self.go_fence(Trigger::PromotionFailed, Self::GIVE_BACK);
            };
            if self.idle() {
                self.timeline_taken = Some(timeline);
                let (term, limit) = (self.keeper.term, ms(self.timings().promote_limit_ms));
                self.begin(|op| Command::Promote { op, term, timeline, limit });
            }
        }
    }

    /// A primary whose clients are still out: after a promotion, after a restart, after an adoption.
    pub(super) fn step_opening(&mut self) {
        if self.postgres_is_gone() {
            return self.go_restart();
        }
        let term = self.keeper.term;
        if self.stage.done {
            self.journal(JournalEntry::Open { term });
            return self.go(Trigger::Opened);
        }
        if self.phase != (Phase::Primary { term }) {
            return self.begin(|op| Command::Persist { op, phase: Phase::Primary { term } });
        }
        let primary = self.postgres.as_ref().filter(|p| p.role == Role::Primary);
        if self.stage.position.is_none() {
            self.stage.position = primary.and_then(|p| p.position.clone());
        }
        let Some(end) = self.stage.position.clone() else {
            return;
        };
        match self.promotion_on_record(&end.lineage) {
            OnRecord::This => {}
            OnRecord::NotYet => return,
            OnRecord::Another => return self.give_back_unopened(),
        }
        self.tend_sync(Some(end.flushed));
        if self.may_open(end.flushed) && self.idle() {
            self.journal(JournalEntry::Opening { term });
            self.begin(|op| Command::OpenClients { op, term });
        }
    }

    /// Puts the lineage on record before any client writes on it, so that it is never forked unnoticed.
    fn promotion_on_record(&mut self, seen: &Lineage) -> OnRecord {
        let term = self.keeper.term;
        let Some(record) = self.record.clone() else {
            return OnRecord::NotYet;
        };
        let lineage = self.stage.lineage.clone().unwrap_or_else(|| seen.clone());
        let Some(told) = &record.lineage else {
            return OnRecord::NotYet;
        };
        if told.term == term {
            return if told.lineage == lineage { OnRecord::This } else { OnRecord::Another };
        }
        // An observation from before the promotion would name the old line.
        let end = sb_pgtypes::Position { lineage: lineage.clone(), flushed: sb_pgtypes::Lsn::new(u64::MAX) };
        if Standing::of(&end, &told.lineage) == Standing::Unrecorded {
            self.ask(Purpose::Promoted, |m| Request::Promoted {
                holder: m.config.me.clone(),
                incarnation: m.config.member.incarnation,
                term,
                lineage,
            });
        } else {
            self.stage.position = None;
        }
        OnRecord::NotYet
    }

    /// A client here would write on a line that nobody else counts. Where this very stay has promoted, the term had no
    /// client on either line: whoever has what it was taken over with has everything (R11). What an earlier stay has let
    /// in is not known here, so that after a restart no end is given, and the ordinary proofs decide.
    fn give_back_unopened(&mut self) {
        let term = self.keeper.term;
        let taken = self.record.as_ref().and_then(|r| r.history.last()).filter(|h| h.term == term);
        let end = taken.and_then(|h| h.position.clone()).filter(|_| self.stage.lineage.is_some());
        self.go_fence(Trigger::PromotedOtherwise, AfterFence::GiveBack { end, to: None });
    }

    pub(super) fn go_restart(&mut self) {
        let term = self.keeper.term;
        self.journal(JournalEntry::PostgresGone { term });
        debug_assert!(matches!(self.state, State::Recording | State::Reopening | State::Leading));
        self.go(Trigger::PostgresGone);
    }
}
