//! What is known of the guard: whether it would kill PostgreSQL in time, and whether anything is left to kill.

use serde::{Deserialize, Serialize};

use crate::mutant::Mutant;
use crate::timings::ms;
use crate::trace::moment;
use crate::{BootTime, Command, GuardReport, Processes, Term};

use super::{Machine, State};

/// The deadlines that the guard was given last.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Told {
    term: Term,
    #[serde(with = "moment")]
    fence_at: BootTime,
    /// The one before, in the same term.
    #[serde(with = "moment")]
    before: Option<BootTime>,
    /// When it is told once more if it does not report that it took it.
    #[serde(with = "moment")]
    again_at: BootTime,
}

impl Machine {
    pub(super) fn take_guard(&mut self, report: GuardReport) {
        let lost_it = report.armed.is_none() && self.guard.is_none_or(|g| g.armed.is_some());
        if lost_it && let Some(told) = &mut self.told {
            told.again_at = self.now;
        }
        self.guard = Some(report);
    }

    /// Nothing is known of the guard until its next report.
    pub(super) const fn lose_guard(&mut self) {
        self.guard = None;
        if let Some(told) = &mut self.told {
            told.again_at = self.now;
        }
    }

    /// R3: the lease is extended only under an independent fence. Where PostgreSQL is or may be writable, that
    /// is a guard whose last report shows one of the last two deadlines, still ahead. One that does not take
    /// deadlines lets the lease lapse; the server that takes over then does not depend on it.
    pub(super) fn guard_allows_renewal(&self) -> bool {
        if self.rules.broken_by(Mutant::RenewUnguarded) {
            return true;
        }
        let starting = self.work.as_ref().is_some_and(|w| matches!(w.command, Command::StartPrimary { .. }));
        // A standby stays one until the guard is armed.
        let standby =
            self.state == State::Elected || (self.state == State::Restarting && self.runs_as_standby());
        if !starting && (standby || self.postgres_is_gone()) {
            return true;
        }
        let (Some(armed), Some(told)) = (self.guard.and_then(|g| g.armed), self.told) else {
            return false;
        };
        let recent = told.before.map_or(told.fence_at, |before| before.min(told.fence_at));
        armed.term == self.keeper.term && armed.fence_at >= recent && self.now < armed.fence_at
    }

    /// Whether the guard holds a deadline of this term that is not later than the own one and still ahead.
    pub(super) fn guard_is_armed(&self) -> bool {
        let (Some(armed), Some(own)) = (self.guard.and_then(|g| g.armed), self.fence_at()) else {
            return false;
        };
        armed.term == self.keeper.term && armed.fence_at <= own && self.now < armed.fence_at
    }

    /// Gives the guard the deadline when it has changed, and again while it does not report to hold it.
    pub(super) fn arm(&mut self) {
        let Some(fence_at) = self.fence_at().filter(|at| *at > self.now) else {
            return;
        };
        let term = self.keeper.term;
        let told = self.told.filter(|t| t.term == term);
        if let Some(told) = told.filter(|t| t.fence_at == fence_at) {
            let taken =
                self.guard.and_then(|g| g.armed).is_some_and(|a| (a.term, a.fence_at) == (term, fence_at));
            if taken || !self.reached(told.again_at) {
                return;
            }
        }
        let before = match told {
            Some(told) if told.fence_at == fence_at => told.before,
            Some(told) => Some(told.fence_at),
            None => None,
        };
        let again_at = self.now + ms(self.timings().retry_ms);
        self.told = Some(Told { term, fence_at, before, again_at });
        self.wake_at(again_at);
        self.commands.push_back(Command::ArmGuard { term, fence_at });
    }

    /// Goes on with the deadline that the guard was found to hold.
    pub(super) const fn adopt_deadline(&mut self, term: Term, fence_at: BootTime) {
        self.told = Some(Told { term, fence_at, before: None, again_at: self.now });
    }

    /// Takes the guard's deadline away where PostgreSQL is down or a standby.
    pub(super) fn disarm(&mut self) {
        self.told = None;
        if let Some(guard) = &mut self.guard
            && let Some(armed) = guard.armed.take()
        {
            self.commands.push_back(Command::Disarm { term: armed.term });
        }
    }

    pub(super) fn postgres_is_gone(&self) -> bool {
        self.guard.is_some_and(|g| g.processes == Processes::Gone)
    }
}
