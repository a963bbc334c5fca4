//! What clients ask for.

use super::clients::ClientToken;
use super::clock::BootNanos;
use super::config::CLIENTS_MAX;
use super::launch::Launch;
use super::ledger::Life;
use super::log;
use super::messages::{GuardReply, GuardRequest, GuardStatus, Refusal, StartSpec, Term};
use super::process::{Child, Guard, Start, Waiter};

impl Guard {
    /// Serves one request of the client in `slot`.
    pub(super) fn on_client(&mut self, slot: usize) {
        let Some((client, message)) = self.clients.receive(slot) else { return };
        let reply = match message.request {
            GuardRequest::Status => Some(GuardReply::Status(self.status())),
            GuardRequest::Start(spec) => refused(self.on_start(client, message.id, &spec)),
            GuardRequest::KillAll => refused(self.on_kill_all(client, message.id)),
            GuardRequest::Arm { term, fence_at } => Some(done(self.on_arm(term, fence_at))),
            GuardRequest::Promoting { term } => Some(done(self.on_promoting(term))),
            GuardRequest::Disarm { term } => Some(done(self.on_disarm(term))),
            GuardRequest::Stop { mode } => Some(done(self.stop(mode))),
        };
        if let Some(reply) = reply {
            self.clients.reply(client, message.id, reply);
        }
    }

    fn status(&mut self) -> GuardStatus {
        GuardStatus {
            guard_pid: std::process::id(),
            postmaster: self.postmaster(),
            role: self.ledger.role(),
            armed: self.ledger.armed(),
            fenced: self.ledger.fallen().map(|fallen| fallen.term),
            highest_term: self.ledger.highest_term(),
            descendants: if self.ledger.life() == Life::Gone { 0 } else { self.reaper.count() },
            fences: self.ledger.fences(),
            degraded: self.degraded.clone(),
            fallen: self.ledger.fallen(),
        }
    }

    fn on_arm(&mut self, term: Term, fence_at: BootNanos) -> Result<(), Refusal> {
        let newly = self.ledger.armed().is_none_or(|armed| armed.term != term);
        self.ledger.arm(term, fence_at, BootNanos::now())?;
        if newly {
            log::info(format_args!("armed for term {term}"));
        }
        Ok(())
    }

    fn on_disarm(&mut self, term: Term) -> Result<(), Refusal> {
        self.ledger.disarm(term)?;
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.rest();
        }
        Ok(())
    }

    fn on_promoting(&mut self, term: Term) -> Result<(), Refusal> {
        if self.terminating.is_some() {
            return Err(Refusal::Terminating);
        }
        self.ledger.promoting(term, BootNanos::now())
    }

    /// Answered when the program runs.
    fn on_start(&mut self, client: ClientToken, id: u64, spec: &StartSpec) -> Result<(), Refusal> {
        if self.terminating.is_some() {
            return Err(Refusal::Terminating);
        }
        self.ledger.may_start(spec.role, BootNanos::now())?;
        let launch = Launch::prepare(spec)?;
        let noted = self.reaper.note.write(&spec.program, &spec.data_dir);
        noted.map_err(|error| Refusal::StartFailed {
            step: "could not note the start".to_owned(),
            reason: error.to_string(),
        })?;
        let launched = self.reaper.launch(launch).map_err(|error| Refusal::StartFailed {
            step: "could not fork".to_owned(),
            reason: error.to_string(),
        })?;
        self.ledger.forked(spec.role);
        let start = Start { client, id, report: launched.report, leftovers_killed: 0 };
        self.child = Some(Child { pid: launched.pid, start: Some(start), refusal: None });
        Ok(())
    }

    /// Answered with the proof.
    fn on_kill_all(&mut self, client: ClientToken, id: u64) -> Result<(), Refusal> {
        let now = BootNanos::now();
        let waiter = Waiter { client, id, since: now };
        let place = (0..CLIENTS_MAX).find(|place| self.waiting_for_proof[*place].is_none());
        let Some(place) = place else { return Err(Refusal::Fencing) };
        self.waiting_for_proof[place] = Some(waiter);
        self.begin_killing(now);
        Ok(())
    }
}

/// The answer to what is answered later when it is not refused now.
fn refused(outcome: Result<(), Refusal>) -> Option<GuardReply> {
    outcome.err().map(GuardReply::Refused)
}

fn done(outcome: Result<(), Refusal>) -> GuardReply {
    outcome.map_or_else(GuardReply::Refused, |()| GuardReply::Done)
}
