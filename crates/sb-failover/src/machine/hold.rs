//! R10, the side of the asked: a promise to the holder of a lease, durable before it is given.

use serde::{Deserialize, Serialize};

use crate::mutant::Mutant;
use crate::record::{Proof, TTL_MS_MAX, TransferKind};
use crate::timings::ms;
use crate::trace::moment;
use crate::{
    AskId, BootTime, Command, FailsafeAnswer, FailsafePromise, FailsafeQuestion, FailsafeRefusal, OpFailure,
    OpId, OpOutput, Promise, Rejection, Term,
};

use super::Machine;

/// How many questions may wait for one write.
const QUESTIONS_WAITING_MAX: usize = 8;

/// A promise that is being stored, and whom to tell.
#[derive(Debug, Serialize, Deserialize)]
struct Storing {
    op: OpId,
    promise: FailsafePromise,
    asks: Vec<AskId>,
}

/// What this server has promised to the holder of a lease.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Hold {
    stored: Option<FailsafePromise>,
    /// Against whose successors nothing is done, and until when.
    #[serde(with = "moment")]
    active: Option<(Term, BootTime)>,
    storing: Option<Storing>,
    /// What was asked while a write was under way.
    waiting: Vec<(AskId, FailsafeQuestion)>,
}

impl Hold {
    /// What an earlier run has promised counts from the start of this one.
    pub(super) fn resume(stored: Option<FailsafePromise>, now: BootTime) -> Self {
        let active = stored.as_ref().map(|p| (p.term, now + p.wait));
        Self { stored, active, storing: None, waiting: Vec::new() }
    }

    /// Until when nothing may be done against the lease of `term`; [`None`] = for ever, as far as is known now.
    fn until(&self, term: Term) -> Option<Option<BootTime>> {
        if self.storing.as_ref().is_some_and(|s| s.promise.term >= term) {
            return Some(None);
        }
        self.active.filter(|(held, _)| *held >= term).map(|(_, until)| Some(until))
    }
}

impl Machine {
    pub(super) fn take_failsafe_question(&mut self, ask: AskId, question: FailsafeQuestion) {
        if let Err(refusal) = self.judge(&question) {
            return self.answer_failsafe(ask, FailsafeAnswer::No(refusal));
        }
        if self.rules.broken_by(Mutant::FailsafeNotStored) {
            let wait = self.timings().wait(question.ttl_ms);
            self.hold.active = Some((question.term, self.now + wait));
            return self.answer_failsafe(ask, FailsafeAnswer::Yes);
        }
        if self.hold.storing.is_none() {
            return self.store_failsafe(vec![ask], &question);
        }
        if self.hold.waiting.len() >= QUESTIONS_WAITING_MAX {
            return self.answer_failsafe(ask, FailsafeAnswer::No(FailsafeRefusal::Busy));
        }
        self.hold.waiting.push((ask, question));
    }

    /// Whether this server may promise what is asked.
    fn judge(&self, question: &FailsafeQuestion) -> Result<(), FailsafeRefusal> {
        let known =
            self.record.as_ref().filter(|r| r.members.get(&self.config.me) == Some(&self.config.member));
        let (Some(record), Some(lease)) = (known, self.lease()) else {
            return Err(FailsafeRefusal::Unknowing);
        };
        let asker = lease.holder == question.holder && lease.incarnation == question.incarnation;
        let lost = lease.term == question.term && (!asker || lease.released.is_some());
        if lease.term > question.term || lost {
            return Err(FailsafeRefusal::NotHolder { term: lease.term });
        }
        if record.admissions > question.admissions {
            return Err(FailsafeRefusal::NewerMembers);
        }
        if question.ttl_ms > TTL_MS_MAX {
            return Err(FailsafeRefusal::TooLong { ttl_ms: question.ttl_ms });
        }
        let asked_for = Promise { term: question.term, seq: question.seq };
        match self.newest_promise().filter(|p| *p >= asked_for) {
            Some(p) if !self.rules.broken_by(Mutant::FailsafeFrozenAgrees) => {
                Err(FailsafeRefusal::Promised { term: p.term, seq: p.seq })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The newest promise to candidates: stored, or perhaps stored by now.
    fn newest_promise(&self) -> Option<Promise> {
        let under_way = self.work.as_ref().and_then(|w| match &w.command {
            Command::StorePromise { promise, .. } => Some(*promise),
            _ => None,
        });
        [self.promise, self.stage.promise, under_way].into_iter().flatten().max()
    }

    fn store_failsafe(&mut self, asks: Vec<AskId>, question: &FailsafeQuestion) {
        let op = OpId::new(self.next_id());
        let mut wait = self.timings().wait(question.ttl_ms);
        let mut position = question.position.clone();
        if let Some(before) = self.hold.stored.as_ref().filter(|p| p.term == question.term) {
            // What was promised before may still be counted on, and what was told stays known.
            wait = wait.max(before.wait);
            position = position.or_else(|| before.position.clone());
        }
        let promise = FailsafePromise { term: question.term, wait, position };
        self.hold.storing = Some(Storing { op, promise: promise.clone(), asks });
        self.commands.push_back(Command::StoreFailsafe { op, promise });
    }

    /// The end of a write, if it is of this promise.
    pub(super) fn take_failsafe_end(&mut self, op: OpId, result: &Result<OpOutput, OpFailure>) -> bool {
        let Some(storing) = self.hold.storing.take_if(|s| s.op == op) else {
            return false;
        };
        let answer = if result.is_ok() {
            let until = self.now + storing.promise.wait;
            let before = self.hold.active.filter(|(term, _)| *term >= storing.promise.term);
            let (term, before) = before.unwrap_or((storing.promise.term, until));
            self.hold.active = Some((term, before.max(until)));
            self.hold.stored = Some(storing.promise);
            FailsafeAnswer::Yes
        } else {
            FailsafeAnswer::No(FailsafeRefusal::NotStored)
        };
        for ask in storing.asks {
            self.answer_failsafe(ask, answer.clone());
        }
        for (ask, question) in std::mem::take(&mut self.hold.waiting) {
            self.take_failsafe_question(ask, question);
        }
        true
    }

    fn answer_failsafe(&mut self, ask: AskId, answer: FailsafeAnswer) {
        self.commands.push_back(Command::AnswerFailsafe { ask, answer });
    }

    /// Whether this server has promised to do nothing against the lease in force. A lease that was given back, or
    /// a newer one, ends that.
    pub(super) fn is_held_back(&mut self) -> bool {
        let Some(term) = self.lease().filter(|l| l.released.is_none()).map(|l| l.term) else {
            return false;
        };
        match self.hold.until(term) {
            None => false,
            Some(None) => true,
            Some(Some(at)) => !self.reached(at),
        }
    }

    /// The bound of a loss holds against the newest position that the holder told, which it may have told to its
    /// members and not to the store.
    pub(super) fn lacks_what_it_was_told(
        &self,
        own: &sb_pgtypes::Position,
        proof: Proof,
    ) -> Option<Rejection> {
        let record = self.record.as_ref()?;
        let told = self.hold.stored.as_ref().filter(|p| p.term == record.term())?.position.as_ref()?;
        let accepted = record.transfer.as_ref().map(|t| t.kind);
        let allowed = match (proof, accepted) {
            (Proof::LagBound, _) => record.lag_bytes_max,
            (Proof::AcceptedLoss, Some(TransferKind::Failover { accept_data_loss_bytes })) => {
                accept_data_loss_bytes
            }
            (Proof::EndOfWal | Proof::Quorum | Proof::AcceptedLoss, _) => return None,
        };
        match record.lacks(own, told) {
            Some(bytes) if bytes <= allowed => None,
            Some(bytes) => Some(Rejection::TooFarBehind { bytes, allowed }),
            None => Some(Rejection::Diverged),
        }
    }

    /// For how long this server does nothing against the lease in force, as a person may see it.
    pub(super) fn held_back_for(&self, now: BootTime) -> Option<std::time::Duration> {
        let (_, until) = self.hold.active.filter(|(term, _)| *term >= self.term())?;
        Some(until.since(now)).filter(|left| *left > ms(0))
    }
}
