//! From the deadline to the proof: the part of the guard that may wait for nothing.

use std::time::Duration;

use super::clock::BootNanos;
use super::config::{GuardError, QUIT_TO_KILL_MS};
use super::ledger::{Ledger, Life};
use super::log;
use super::messages::{GuardEvent, GuardReply, PostmasterExit, Proof, Refusal, Role, Term};
use super::process::{Child, Duty, Guard};
use super::reaper::Left;

/// Between two rounds of killing, while something lives.
const KILL_ROUND_MS: u64 = 5;
/// Rounds at that pace; after them something hangs in the kernel and the guard looks less often.
const QUICK_ROUNDS_MAX: u32 = 200;
/// Between two rounds then.
const SLOW_ROUND_MS: u64 = 50;
/// How far ahead the drill's deadline is.
const DRILL_AHEAD_MS: u64 = 1;
/// How long the drill may take.
const DRILL_MS_MAX: u64 = 3_000;

/// Descendants are being ended.
pub(super) struct Killing {
    pub(super) next_round: BootNanos,
    rounds: u32,
    /// Alive right after they were told.
    found: u32,
}

impl Guard {
    /// Lets the fence fall over a process of its own, by the very path that the real one takes: it works here and
    /// now, and every page of it has been used and is thereby locked in memory.
    pub(super) fn drill(&mut self) -> Result<(), GuardError> {
        let pid = self.reaper.fork_victim()?;
        self.ledger.forked(Role::Standby);
        self.ledger.runs();
        self.child = Some(Child { pid, start: None, refusal: None });
        let now = BootNanos::now();
        let deadline = now.plus(Duration::from_millis(DRILL_AHEAD_MS));
        self.ledger.arm(Term::from(0), deadline, now).expect("nothing was armed before");
        let limit = now.plus(Duration::from_millis(DRILL_MS_MAX));
        while self.ledger.life() != Life::Gone {
            if BootNanos::now() > limit {
                return Err(GuardError::RehearsalFailed);
            }
            self.turn();
        }
        self.ledger = Ledger::new();
        self.duty = Duty::Service;
        Ok(())
    }

    /// Ends every descendant: asked at once, killed a little later.
    pub(super) fn begin_killing(&mut self, now: BootNanos) {
        if self.killing.is_none() {
            let mut next_round = now;
            if let Some(Child { pid, start: None, .. }) = self.child {
                self.reaper.quit(pid);
                next_round = now.plus(Duration::from_millis(QUIT_TO_KILL_MS));
            }
            let found = self.reaper.count();
            self.ledger.ending();
            self.killing = Some(Killing { next_round, rounds: 0, found });
        }
        self.reap();
        self.kill_if_due(BootNanos::now());
    }

    pub(super) fn kill_if_due(&mut self, now: BootNanos) {
        let Some(killing) = self.killing.as_mut().filter(|killing| killing.next_round <= now) else { return };
        killing.rounds += 1;
        let pause = if killing.rounds <= QUICK_ROUNDS_MAX { KILL_ROUND_MS } else { SLOW_ROUND_MS };
        self.reaper.kill_all();
        killing.next_round = BootNanos::now().plus(Duration::from_millis(pause));
        self.reap();
    }

    /// Collects the dead, and acts on who is left.
    pub(super) fn reap(&mut self) {
        let left = self.reaper.reap(self.child.as_ref().map(|child| child.pid), &mut self.exit);
        if self.exit.is_some() && matches!(self.ledger.life(), Life::Starting(_)) {
            // Its last word is in the pipe, and may be that the program ran.
            self.on_report();
        }
        match left {
            Left::Nobody => self.nobody_is_left(),
            Left::Somebody => {
                if self.exit.is_some() && self.killing.is_none() {
                    // Without a postmaster its backends serve no purpose, and some would go on for a while.
                    let found = self.reaper.count();
                    self.ledger.ending();
                    self.killing = Some(Killing { next_round: BootNanos::now(), rounds: 0, found });
                }
            }
        }
    }

    /// The proof: tell who waits for it.
    fn nobody_is_left(&mut self) {
        if self.ledger.life() == Life::Gone && self.child.is_none() && self.ledger_is_quiet() {
            return;
        }
        let now = BootNanos::now();
        let fallen = self.ledger.gone(now);
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.rest();
        }
        let found = self.killing.take().map_or(0, |killing| killing.found);
        let (child, exit) = (self.child.take(), self.exit.take());
        if self.duty == Duty::Service {
            self.reaper.note.forget();
            self.tell_exit(child, exit, found);
        }
        if let Some(fallen) = fallen {
            self.tell_fenced(fallen.term, found, now.since(fallen.deadline));
        }
        for waiter in std::mem::take(&mut self.waiting_for_proof).into_iter().flatten() {
            let proof = Proof { descendants: 0, took_ms: millis(now.since(waiter.since)) };
            self.clients.reply(waiter.client, waiter.id, GuardReply::Proof(proof));
        }
    }

    fn ledger_is_quiet(&self) -> bool {
        !self.ledger.is_falling()
            && self.killing.is_none()
            && self.waiting_for_proof.iter().all(Option::is_none)
    }

    fn tell_fenced(&mut self, term: Term, killed: u32, took: Duration) {
        if self.duty == Duty::Drill {
            return log::info(format_args!("the fence was tried: {killed} processes ended in {took:?}"));
        }
        let event = GuardEvent::Fenced { term, killed, took_ms: millis(took) };
        self.clients.broadcast(&event);
        log::warn(format_args!("the deadline of term {term} passed: {killed} processes ended in {took:?}"));
    }

    fn tell_exit(&mut self, child: Option<Child>, exit: Option<PostmasterExit>, found: u32) {
        let Some(child) = child else { return };
        match (child.start, child.refusal, exit) {
            (Some(start), refusal, _) => {
                let refusal = refusal.unwrap_or(Refusal::StartFailed {
                    step: "could not reach the program".to_owned(),
                    reason: "killed on the way".to_owned(),
                });
                self.clients.reply(start.client, start.id, GuardReply::Refused(refusal));
            }
            (None, _, Some(status)) => {
                self.clients.broadcast(&GuardEvent::PostmasterExited { status, stragglers_killed: found });
                log::info(format_args!("PostgreSQL ended: {status:?}"));
            }
            (None, _, None) => {}
        }
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
