//! The failsafe's questions between the servers, which do not go through the store.

use std::collections::BTreeSet;

use sb_failover::{AskId, Event, FailsafeAnswer, FailsafePromise, FailsafeQuestion, OpId, OpOutput, Round};
use sb_topology::ServerName;

use super::{What, World};
use crate::invariants::Happening;
use crate::server::index;

/// A question that waits for its answer.
#[derive(Clone, Debug)]
pub struct Question {
    holder: usize,
    /// Of the holder's agent when it asked.
    run: u64,
    member: usize,
    round: Round,
    term: sb_failover::Term,
    ttl_ms: u64,
}

/// Of 100 questions and answers, how many are lost, and how many are late.
const LOST: u64 = 5;
const LATE: u64 = 5;
const LATE_MS: (u64, u64) = (0, 6_000);

impl World {
    pub fn ask_members(
        &mut self,
        holder: usize,
        round: Round,
        members: &BTreeSet<ServerName>,
        question: &FailsafeQuestion,
    ) {
        let run = self.servers[holder].run;
        let (term, ttl_ms) = (question.term, question.ttl_ms);
        for member in members.iter().map(index) {
            if self.unlucky(LOST) {
                continue;
            }
            let ask = self.new_record();
            self.questions.insert(ask, Question { holder, run, member, round, term, ttl_ms });
            let delay = self.call_ns(holder, member);
            let question = Box::new(question.clone());
            self.after(delay, What::Ask { server: member, ask: AskId::new(ask), question });
        }
    }

    fn call_ns(&mut self, from: usize, to: usize) -> u64 {
        let late = if self.unlucky(LATE) { self.ns(LATE_MS) } else { 0 };
        self.network.delay_ns(from, to, &mut self.rng) + late
    }

    pub fn asked(&mut self, server: usize, ask: AskId, question: FailsafeQuestion) {
        if self.linked(index(&question.holder), server) {
            self.feed(server, Event::FailsafeAsked { ask, question });
        }
    }

    pub fn answer_holder(&mut self, server: usize, ask: AskId, answer: FailsafeAnswer) {
        let Some(question) = self.questions.remove(&ask.get()) else {
            return;
        };
        let Question { holder, run, member, round, term, ttl_ms } = question;
        assert_eq!(server, member, "a member answers what it was asked");
        if answer == FailsafeAnswer::Yes {
            self.tell(&Happening::PromisedHolder { server, term, ttl_ms });
        }
        if self.unlucky(LOST) || !self.linked(holder, server) {
            return;
        }
        let delay = self.call_ns(server, holder);
        let event =
            Box::new(Event::FailsafeAnswered { round, from: self.servers[server].name.clone(), answer });
        self.after(delay, What::Deliver { server: holder, run, event });
    }

    pub fn store_failsafe(&mut self, server: usize, op: OpId, promise: &FailsafePromise) {
        let delay = if self.servers[server].slow_disk > 0 { self.ns((20, 800)) } else { self.ns((0, 20)) };
        let run = self.servers[server].run;
        self.after(delay, What::Stored { server, run, op, promise: Box::new(promise.clone()) });
    }

    pub fn stored(&mut self, server: usize, run: u64, op: OpId, promise: FailsafePromise) {
        if self.servers[server].run != run || !self.servers[server].up {
            return;
        }
        let full = self.servers[server].store.disk.is_full();
        let result = if full {
            Err(sb_failover::OpFailure::Failed { detail: "the disk is full".into() })
        } else {
            self.servers[server].persisted.failsafe = Some(promise);
            Ok(OpOutput::Nothing)
        };
        self.deliver(server, Event::Done { op, result });
    }
}
