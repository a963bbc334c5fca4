//! An election, seen by one frozen standby: report, judge the reports, fetch, claim.

use sb_pgtypes::Position;
use sb_topology::ServerName;
use serde::{Deserialize, Serialize};

use crate::elect::{elect_by, everybody_reported, more_elsewhere};
use crate::mutant::{Mutant, Rules};
use crate::record::{Proof, Report, Standing, TransferKind};
use crate::timings::ms;
use crate::{
    BootTime, ClusterRecord, Command, Election, JournalEntry, Judgement, Promise, Ranked, Rejection, Request,
    Trigger, judge,
};

use super::Machine;
use super::pace::whole_ms;
use super::sync::Doubt;
use super::work::Purpose;

/// How often one lease's succession is journalled: reports that keep changing must not fill the journal.
const JUDGEMENTS_PER_LEASE_MAX: usize = 16;

/// The judgement told last.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Judged {
    /// From the record at hand, which is judged once.
    pub(super) at_hand: bool,
    judgement: Judgement,
    told: usize,
}

impl Machine {
    pub(super) fn step_frozen(&mut self) {
        if self.is_void() {
            return self.go(Trigger::Voided);
        }
        let Some(position) = self.stage.position.clone() else {
            return self.go(Trigger::Voided);
        };
        if self.record.as_ref().is_some_and(|r| r.standing(&position) == Some(Standing::Diverged)) {
            return self.refuse("the own log has left the cluster's line".into());
        }
        self.report(&position);
        if let Some(proof) = self.first_turn(&position) {
            self.tell_judgement(&position);
            return self.claim(position, proof);
        }
        let Some(begins) = self.counting_begins_at() else {
            return;
        };
        if !self.reached(begins) {
            return;
        }
        self.tell_judgement(&position);
        let Some(record) = self.record.clone() else {
            return;
        };
        match elect_by(&record, self.rules) {
            Election::Decided(ranked) => self.take_turn(position, &ranked),
            Election::Blocked(why) => self.blocked(position, why),
        }
    }

    /// Journals how the reports are judged, the own one among them although it may still be on its way: once for each
    /// different judgement of one lease.
    fn tell_judgement(&mut self, position: &sb_pgtypes::Position) {
        let Some(record) = self.record.clone() else {
            return;
        };
        if self.judged.as_ref().is_some_and(|judged| judged.at_hand) {
            return;
        }
        let mut told = ClusterRecord::clone(&record);
        if let Some(Promise { term, seq }) = self.promise {
            let report = Report { term, seq, position: position.clone() };
            told.reports.insert(self.config.me.clone(), report);
        }
        let Some(judgement) = judge(&told) else {
            return;
        };
        let before = self
            .judged
            .take()
            .filter(|j| (j.judgement.term, j.judgement.seq) == (judgement.term, judgement.seq));
        let told = before.as_ref().map_or(0, |before| before.told);
        let same = before.is_some_and(|before| before.judgement == judgement);
        let tell = !same && told < JUDGEMENTS_PER_LEASE_MAX;
        self.judged =
            Some(Judged { at_hand: true, judgement: judgement.clone(), told: told + usize::from(tell) });
        if tell {
            self.journal(JournalEntry::Judged(Box::new(judgement)));
        }
    }

    fn report(&mut self, position: &Position) {
        let Some(record) = self.record.clone() else {
            return;
        };
        let reported = record.valid_reports().any(|(s, r)| *s == self.config.me && r.position == *position);
        if reported {
            self.stage.reported.get_or_insert(self.now);
        }
        let Some(promise) = self.promise.filter(|_| !reported) else {
            return;
        };
        let position = position.clone();
        self.ask(Purpose::Report, |m| Request::Report {
            server: m.config.me.clone(),
            incarnation: m.config.member.incarnation,
            term: promise.term,
            seq: promise.seq,
            position,
        });
    }

    /// The receiver of a planned hand-over does not wait for an election, if it has the end of the log.
    fn first_turn(&self, position: &Position) -> Option<Proof> {
        let record = self.record.as_ref()?;
        let released = record.lease.as_ref()?.released.as_ref()?;
        let mine = released.to.as_ref() == Some(&self.config.me);
        let proven = record.prove(&self.config.me, position, Proof::EndOfWal, self.rules).is_ok();
        (mine && proven).then_some(Proof::EndOfWal)
    }

    /// When reports are judged: not before the lease has certainly ended (L2), and not before they were collected for a
    /// while unless everybody has reported, since asynchronously no number says when it is enough. The others freeze when
    /// this server does, before the lease ends, so they have had that time since its own report came through.
    fn counting_begins_at(&mut self) -> Option<BootTime> {
        let record = self.record.clone()?;
        let mut at = self.over_at()?;
        let released = record.lease.as_ref().and_then(|l| l.released.as_ref());
        let wait = ms(self.timings().transfer_wait_ms);
        match released.map(|r| (r.to.as_ref(), r.end.is_some())) {
            Some((Some(to), true)) if *to != self.config.me => at = at + wait,
            // It lacks the end of the log: those that have it go before.
            Some((Some(_), true)) => at = at + wait + wait,
            Some((Some(to), false)) if *to != self.config.me => at = at + wait,
            Some((Some(_) | None, _)) | None => {}
        }
        if !everybody_reported(&record) {
            let since = self.stage.reported.map_or(at, |reported| reported.min(at));
            at = at.max(since + ms(self.timings().collect_ms));
        }
        Some(at)
    }

    /// When the lease has certainly ended, for this waiter.
    fn over_at(&self) -> Option<BootTime> {
        let timings = self.timings().clone();
        if self.rules.broken_by(Mutant::NoDriftMargin) {
            let exact = crate::Timings { drift_ppm: 0, margin_ms: 0, ..timings };
            return self.watch.over_at(&exact);
        }
        self.watch.over_at(&timings)
    }

    fn take_turn(&mut self, position: Position, ranked: &[Ranked]) {
        let Some(record) = self.record.clone() else {
            return;
        };
        let decided = *self.stage.ready_since.get_or_insert(self.now);
        let Some(rank) = ranked.iter().position(|r| r.server == self.config.me) else {
            return self.blocked(position, None);
        };
        let mut at = decided + ms(self.timings().rank_step_ms * rank as u64);
        // A person's choice goes first.
        let named = record.transfer.as_ref().and_then(|t| t.to.as_ref());
        match named {
            Some(to) if *to == self.config.me => at = decided,
            Some(_) => at = at + ms(self.timings().transfer_wait_ms),
            None => {}
        }
        // Between a release and the receiver's time, only those with the end of the log.
        if ranked[rank].proof != Proof::EndOfWal && self.end_holders_go_first() {
            at = at + ms(self.timings().transfer_wait_ms);
        }
        if !self.reached(at) {
            return;
        }
        match &ranked[rank].fetch {
            Some((source, until)) if !position.contains(until) => {
                self.fetch_from(source.clone(), until.clone());
            }
            Some(_) | None => self.claim(position, ranked[rank].proof),
        }
    }

    fn end_holders_go_first(&self) -> bool {
        self.lease().and_then(|l| l.released.as_ref()).is_some_and(|r| r.end.is_some())
    }

    /// Nobody may take over by itself; a person may have accepted the loss.
    fn blocked(&mut self, position: Position, why: Option<Rejection>) {
        let Some(record) = self.record.clone() else {
            return;
        };
        let accepted = record.transfer.as_ref().is_some_and(|t| {
            t.to.as_ref() == Some(&self.config.me) && matches!(t.kind, TransferKind::Failover { .. })
        });
        if accepted {
            if let Some((source, until)) = self.more_elsewhere(&record, &position) {
                return self.fetch_from(source, until);
            }
            if self.others_may_still_report(&record) {
                return;
            }
            match record.prove(&self.config.me, &position, Proof::AcceptedLoss, Rules::default()) {
                Ok(()) => return self.claim(position, Proof::AcceptedLoss),
                Err(rejection) => return self.refuse(rejection.to_string()),
            }
        }
        if let Some(why) = why {
            self.refuse(why.to_string());
        }
    }

    /// R5 for a person's choice: the loss that was accepted is of what nobody who answers has. A source that could not be
    /// fetched from is asked once.
    fn more_elsewhere(&self, record: &ClusterRecord, own: &Position) -> Option<(ServerName, Position)> {
        let asked = self.promise.is_some() && self.unfetched == self.promise;
        more_elsewhere(record, own).filter(|_| !asked)
    }

    /// The others freeze when they see what the person asked for, which may be long after the lease has ended and after
    /// this server has frozen. Those that have promised the holder not to (R10), also by a question that reached them
    /// late, freeze when that promise has ended.
    fn others_may_still_report(&mut self, record: &ClusterRecord) -> bool {
        let asked = self.transfer_seen.map_or(self.stage.since, |(_, at)| at.max(self.stage.since));
        let patience = asked + self.timings().patience_with_reports();
        !everybody_reported(record) && !self.reached(patience)
    }

    fn fetch_from(&mut self, source: ServerName, until: Position) {
        self.journal(JournalEntry::Fetching { source: source.clone(), until: until.clone() });
        self.go(Trigger::LacksLog);
        self.stage.fetch = Some((source, until));
    }

    fn claim(&mut self, position: Position, proof: Proof) {
        if let Some(lacks) = self.lacks_what_it_was_told(&position, proof) {
            return self.refuse(lacks.to_string());
        }
        self.go(Trigger::Turn);
        self.stage.position = Some(position);
        self.stage.proof = Some(proof);
    }

    pub(super) fn step_fetching(&mut self) {
        if self.is_void() {
            return self.go(Trigger::Voided);
        }
        if self.stage.failed {
            self.unfetched = self.promise;
            return self.go(Trigger::FetchFailed);
        }
        if let Some(position) = self.stage.position.clone() {
            self.go(Trigger::Fetched);
            self.stage.position = Some(position);
            return;
        }
        let Some((source, until)) = self.stage.fetch.clone() else {
            return self.go(Trigger::FetchFailed);
        };
        let limit = ms(self.timings().fetch_limit_ms);
        self.begin(|op| Command::Fetch { op, source, until, limit });
    }

    pub(super) fn step_claiming(&mut self) {
        if self.lease_is_mine() {
            let from = self.record.as_ref().and_then(|r| r.history.last()).and_then(|h| h.from.clone());
            let term = self.term();
            if let Some(from) = from {
                self.journal(JournalEntry::Elected { term, from });
            }
            return self.go_elected();
        }
        if self.is_void() {
            return self.go(Trigger::Voided);
        }
        let (Some(position), Some(proof)) = (self.stage.position.clone(), self.stage.proof) else {
            return self.go(Trigger::Voided);
        };
        if self.stage.failed {
            self.go(Trigger::Refused);
            self.stage.position = Some(position);
            return;
        }
        if self.may_ask(Purpose::Takeover) {
            self.journal_claim(&position);
            self.send_takeover(position, proof);
        }
    }

    fn go_elected(&mut self) {
        let term = self.term();
        self.hold(term);
        // In a term that has just begun nobody has proposed anything yet.
        self.doubt = Doubt::Nothing;
        self.go(Trigger::LeaseMineUnpromoted);
    }

    /// What a takeover may cost is known now: the takeover itself replaces what the holder told.
    fn journal_claim(&mut self, own: &Position) {
        let (Some(record), Some(promise)) = (self.record.clone(), self.promise) else {
            return;
        };
        let told = record.position.clone();
        let missing_bytes = told.as_ref().and_then(|told| record.lacks(own, told));
        let silent_ms = self.watch.seen_at().map_or(0, |at| whole_ms(self.now.since(at)));
        let (term, own) = (promise.term.next(), own.clone());
        self.journal(JournalEntry::Claiming { term, own, told, missing_bytes, silent_ms });
    }

    /// The winner's lease counts from before this proposal (L1), so no renewal is needed before it promotes.
    fn send_takeover(&mut self, position: Position, proof: Proof) {
        let Some(promise) = self.promise else {
            return;
        };
        self.witnesses = self.record.iter().flat_map(|r| r.valid_reports().map(|(s, _)| s.clone())).collect();
        self.hold(promise.term.next());
        let renewal = self.keeper.next_number();
        let ttl_ms = self.timings().ttl_ms;
        let request = Request::Takeover {
            by: self.config.me.clone(),
            incarnation: self.config.member.incarnation,
            expect_term: promise.term,
            expect_seq: promise.seq,
            renewal,
            ttl_ms,
            position,
            proof,
        };
        let id = self.propose(request);
        self.keeper.propose(renewal, id, ttl_ms, self.now);
        self.asked(Purpose::Takeover, id);
    }
}
