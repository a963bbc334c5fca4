//! R10, the side of the holder: going on without the store while everybody who could take over promises not to.
//!
//! What is asked and why it is safe: `docs/adr/2026-11-23-failsafe.md`.

use std::collections::BTreeSet;
use std::time::Duration;

use sb_topology::ServerName;
use serde::{Deserialize, Serialize};

use crate::timings::ms;
use crate::trace::moment;
use crate::{
    BootTime, Command, Failsafe, FailsafeAnswer, FailsafeQuestion, FailsafeRefusal, JournalEntry, Role, Round,
};

use super::Machine;

/// What people have been told about the failsafe of the lease at hand.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct FailsafeNews {
    /// It holds the lease, and that was told.
    pub(super) holds: bool,
    /// When it last ceased to.
    #[serde(with = "moment")]
    ended: Option<BootTime>,
    /// Who refused, and why.
    refused: Vec<(ServerName, FailsafeRefusal)>,
}

impl Machine {
    /// Asks every promotable member while renewals are missing. Early: a member that has frozen says no.
    pub(super) fn ask_failsafe(&mut self) {
        let timings = self.timings().clone();
        if timings.failsafe == Failsafe::Off || !self.knows_its_members() {
            return;
        }
        let Some(confirmed) = self.keeper.confirmed() else {
            return;
        };
        if !self.reached(confirmed + timings.failsafe_after(timings.ttl_ms)) {
            return self.end_failsafe();
        }
        let next = self.keeper.next_round(ms(timings.renew_ms), self.now);
        if self.reached(next) {
            self.begin_round();
            self.wake_at(self.now + ms(timings.renew_ms));
        }
    }

    /// A replica that was just restarted may show older members than the run before has seen. Behind a renewal of
    /// this run it cannot.
    fn knows_its_members(&self) -> bool {
        self.lease().is_some_and(|l| l.renewal.session == self.config.session)
    }

    fn begin_round(&mut self) {
        let Some(record) = self.record.clone() else {
            return;
        };
        let Some(lease) = &record.lease else {
            return;
        };
        let others = record.members.iter().filter(|(s, m)| m.promotable && **s != self.config.me);
        let members: BTreeSet<_> = others.map(|(s, _)| s.clone()).collect();
        let round = Round::new(self.next_id());
        let primary = self.postgres.as_ref().filter(|p| p.role == Role::Primary);
        let question = FailsafeQuestion {
            holder: self.config.me.clone(),
            incarnation: self.config.member.incarnation,
            term: lease.term,
            seq: lease.seq,
            admissions: record.admissions,
            ttl_ms: self.ttl_ms(),
            position: primary.and_then(|p| p.position.clone()),
        };
        self.keeper.ask(round, members.clone(), question.ttl_ms, self.now);
        if members.is_empty() {
            // Nobody could take over, so nobody has to promise anything.
            return self.count_round();
        }
        self.commands.push_back(Command::AskFailsafe { round, members, question });
    }

    pub(super) fn take_failsafe_answer(&mut self, round: Round, from: &ServerName, answer: FailsafeAnswer) {
        match answer {
            FailsafeAnswer::Yes => {
                self.keeper.agreed(round, from);
                self.count_round();
            }
            FailsafeAnswer::No(reason) => {
                let told = (from.clone(), reason.clone());
                if !self.failsafe_news.refused.contains(&told) {
                    self.failsafe_news.refused.push(told);
                    self.journal(JournalEntry::FailsafeRefused { by: from.clone(), reason });
                }
            }
        }
    }

    fn count_round(&mut self) {
        if self.keeper.count_round(self.now) && !self.failsafe_news.holds {
            self.failsafe_news.holds = true;
            let term = self.keeper.term;
            self.journal(JournalEntry::FailsafeHolds { term });
        }
    }

    /// Renewals count again.
    fn end_failsafe(&mut self) {
        let news = std::mem::take(&mut self.failsafe_news);
        self.failsafe_news.ended = news.ended;
        if news.holds {
            self.failsafe_news.ended = Some(self.now);
            let term = self.keeper.term;
            self.journal(JournalEntry::FailsafeEnded { term });
        }
    }

    /// Whether a renewal of this round trip was under way while everybody's promise held.
    pub(super) fn was_bridged(&self, round_trip: Duration) -> bool {
        let ended_since = |ended: BootTime| self.now.since(ended) < round_trip;
        self.failsafe_news.holds || self.failsafe_news.ended.is_some_and(ended_since)
    }

    /// Whether everybody's promise is what the lease at hand rests on.
    pub(super) fn failsafe_holds(&self) -> bool {
        self.failsafe_news.holds && self.holds_lease()
    }

    /// Who refused since the renewals are missing.
    pub(super) fn failsafe_refusals(&self) -> impl Iterator<Item = &(ServerName, FailsafeRefusal)> {
        self.failsafe_news.refused.iter()
    }
}
