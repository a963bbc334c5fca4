//! The failsafe's questions between the servers, which do not go through the store.

use std::collections::BTreeSet;

use sb_failover::{AskId, Event, FailsafeAnswer, FailsafePromise, FailsafeQuestion, OpId, OpOutput, Round};
use sb_topology::ServerName;

use crate::server::{index, name};
use crate::world::{What, World};

impl World {
    pub fn ask_members(
        &mut self,
        holder: usize,
        round: Round,
        members: &BTreeSet<ServerName>,
        question: &FailsafeQuestion,
    ) {
        let run = self.servers[holder].run;
        for member in members.iter().map(index) {
            if self.unlucky(5) {
                continue;
            }
            let ask = self.new_record();
            self.questions.insert(ask, (holder, run, member, round));
            let late = if self.unlucky(5) { self.ns((0, 6_000)) } else { 0 };
            let delay = self.ns(self.profile.delay_ms) + late;
            let question = Box::new(question.clone());
            self.after(delay, What::Ask { server: member, ask: AskId::new(ask), question });
        }
    }

    pub fn asked(&mut self, server: usize, ask: AskId, question: FailsafeQuestion) {
        if self.linked(index(&question.holder), server) {
            self.feed(server, Event::FailsafeAsked { ask, question });
        }
    }

    pub fn answer_holder(&mut self, server: usize, ask: AskId, answer: FailsafeAnswer) {
        let Some((holder, run, member, round)) = self.questions.remove(&ask.get()) else {
            return;
        };
        assert_eq!(server, member, "a member answers what it was asked");
        if self.unlucky(5) || !self.linked(holder, server) {
            return;
        }
        let late = if self.unlucky(5) { self.ns((0, 6_000)) } else { 0 };
        let delay = self.ns(self.profile.delay_ms) + late;
        let event = Event::FailsafeAnswered { round, from: name(server), answer };
        self.after(delay, What::Deliver { server: holder, run, event });
    }

    pub fn store_failsafe(&mut self, server: usize, op: OpId, promise: &FailsafePromise) {
        let delay = self.ns((0, 20));
        let run = self.servers[server].run;
        self.after(delay, What::Stored { server, run, op, promise: promise.clone() });
    }

    pub fn stored(&mut self, server: usize, run: u64, op: OpId, promise: FailsafePromise) {
        if self.servers[server].run == run && self.servers[server].up {
            self.servers[server].persisted.failsafe = Some(promise);
            self.deliver(server, Event::Done { op, result: Ok(OpOutput::Nothing) });
        }
    }
}
