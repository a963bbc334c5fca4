//! A primary, its crash, its planned end, and the proof that nothing of it is left.

use sb_topology::ServerName;

use crate::record::{Transfer, TransferKind};
use crate::timings::ms;
use crate::{BootTime, Command, JournalEntry, OpId, Phase, Request, Role, Trigger};

use super::work::Purpose;
use super::{AfterFence, Machine};

impl Machine {
    pub(super) fn step_leading(&mut self) {
        if self.postgres_is_gone() {
            return self.go_restart();
        }
        let transfer = self.record.as_ref().and_then(|r| r.transfer.clone());
        if let Some(transfer) = transfer {
            if self.undrained == Some(transfer.id) {
                self.cancel(&transfer, "PostgreSQL could not be shut down in time".into());
                return self.tend_sync(None);
            }
            match self.transfer_target(&transfer) {
                Ok(to) => {
                    self.journal(JournalEntry::Draining { to: to.clone() });
                    self.go(Trigger::TransferDue);
                    self.stage.target = Some(to);
                    return;
                }
                Err(reason) => self.cancel(&transfer, reason),
            }
        }
        self.tend_sync(None);
    }

    /// The server to hand over to, or why not.
    fn transfer_target(&self, transfer: &Transfer) -> Result<ServerName, String> {
        let Some(to) = &transfer.to else {
            return self.best_target().ok_or_else(|| "no standby streams closely enough".into());
        };
        let record = self.record.as_ref().ok_or("the record is not known")?;
        let member = record.members.get(to).ok_or_else(|| format!("`{to}` is not a member"))?;
        if !member.promotable {
            return Err(format!("`{to}` cannot be promoted"));
        }
        if *to == self.config.me {
            return Err(format!("`{to}` is primary already"));
        }
        match (transfer.kind, self.lag_of(to)) {
            (TransferKind::Failover { .. }, _) => Ok(to.clone()),
            (TransferKind::Switchover, None) => Err(format!("`{to}` does not stream from the primary")),
            (TransferKind::Switchover, Some(lag)) if lag > record.lag_bytes_max => {
                Err(format!("`{to}` is {lag} bytes behind, {} are allowed", record.lag_bytes_max))
            }
            (TransferKind::Switchover, Some(_)) => Ok(to.clone()),
        }
    }

    /// How many bytes a streaming standby is behind; [`None`] when it does not stream.
    pub(super) fn lag_of(&self, server: &ServerName) -> Option<u64> {
        let postgres = self.postgres.as_ref()?;
        let follower = postgres.followers.iter().find(|f| f.server == *server && f.streaming)?;
        Some(postgres.position.as_ref()?.flushed.bytes_ahead_of(follower.flushed))
    }

    fn best_target(&self) -> Option<ServerName> {
        let record = self.record.as_ref()?;
        let close = |s: &ServerName| self.lag_of(s).is_some_and(|lag| lag <= record.lag_bytes_max);
        let able = record.members.iter().filter(|(s, m)| **s != self.config.me && m.promotable && close(s));
        able.min_by_key(|(s, m)| (m.site != self.config.member.site, m.priority, (*s).clone()))
            .map(|(s, _)| s.clone())
    }

    fn cancel(&mut self, transfer: &Transfer, reason: String) {
        let id = transfer.id;
        self.refuse(reason);
        self.ask(Purpose::CancelTransfer, |_| Request::CancelTransfer { id });
    }

    pub(super) fn step_draining(&mut self) {
        if let Some(end) = self.stage.position.clone() {
            let to = self.stage.target.clone();
            return self.go_fence(Trigger::Drained, AfterFence::GiveBack { end: Some(end), to });
        }
        let limit = ms(self.timings().stop_limit_ms);
        let over = self.stage.since + limit + ms(self.timings().retry_ms);
        let over = self.reached(over);
        if !self.stage.failed && !over {
            return self.begin(|op| Command::StopPostgres { op, limit });
        }
        // A planned move must not lose anything: it is given up, and what runs goes on.
        self.undrained = self.record.as_ref().and_then(|r| r.transfer.as_ref()).map(|t| t.id);
        let role = self.postgres.as_ref().map(|p| p.role);
        match role {
            Some(Role::Primary) if self.stage.failed && !self.postgres_is_gone() => {
                self.go(Trigger::StillRuns)
            }
            // The failure says nothing about how far it got; the next observation does.
            Some(Role::Unknown) if !over && !self.postgres_is_gone() => {}
            Some(_) | None => self.go_fence(Trigger::DrainFailed, AfterFence::Resume),
        }
    }

    pub(super) fn step_restarting(&mut self) {
        let term = self.keeper.term;
        if self.stage.position.is_some() && self.postgres.as_ref().is_some_and(|p| p.role == Role::Primary) {
            let end = self.stage.position.clone();
            self.go(Trigger::Restarted);
            self.stage.position = end;
            return;
        }
        let budget = ms(self.timings().restart_budget_ms);
        if !self.lease_lasts(0) {
            return self.wait_for_lease();
        }
        let since = *self.stage.ready_since.get_or_insert(self.now);
        if self.runs_as_standby() {
            return self.give_back_as_standby(since + budget);
        }
        if self.reached(since + budget) {
            return self.go_fence(Trigger::RestartFailed, AfterFence::GiveBack { end: None, to: None });
        }
        if self.guard_is_armed() {
            let sync = self.sync_target();
            self.begin(|op| Command::StartPrimary { op, term, sync });
        }
    }

    pub(super) fn runs_as_standby(&self) -> bool {
        self.postgres.as_ref().is_some_and(|p| p.role == Role::Standby) && !self.postgres_is_gone()
    }

    /// Data that has been in recovery cannot go on as this term's primary: writing on its timeline takes a new
    /// promotion, so a new term. Nobody ever had more of this term's log, so whoever has this much may take over
    /// (R11), this server among them.
    fn give_back_as_standby(&mut self, over: BootTime) {
        // Until its local log is replayed its end is not known.
        let end = self.own_position().cloned();
        if end.is_some() || self.reached(over) {
            self.go_fence(Trigger::RestartFailed, AfterFence::GiveBack { end, to: None });
        }
    }

    /// Without a lease the old primary may only serve reads, and that only when the wait is getting long.
    fn wait_for_lease(&mut self) {
        self.stage.ready_since = None;
        if self.guard.and_then(|g| g.armed).is_some_and(|a| a.fence_at <= self.now) && self.postgres_is_gone()
        {
            self.disarm();
        }
        let patience = self.stage.since + ms(self.timings().restart_budget_ms);
        let stopped = self.postgres.as_ref().is_some_and(|p| p.role == Role::Stopped);
        let disarmed = self.guard.is_some_and(|g| g.armed.is_none());
        if !(stopped && disarmed && self.reached(patience)) {
            return;
        }
        if self.phase == (Phase::Primary { term: self.keeper.term }) {
            return self.begin(|op| Command::Persist { op, phase: Phase::Standby });
        }
        self.begin(|op| Command::StartStandby { op, upstream: None });
    }

    /// Sends `Fence` at once, whatever else is under way.
    pub(super) fn kill(&mut self) {
        let op = OpId::new(self.next_id());
        self.fence = Some(op);
        self.commands.push_back(Command::Fence { op });
    }

    pub(super) fn step_fencing(&mut self) {
        if !self.stage.done {
            if self.fence.is_none() && (!self.stage.failed || self.reached(self.retry_at)) {
                self.kill();
            }
            return;
        }
        self.disarm();
        let mine = self.lease_is_mine() && self.term() == self.keeper.term;
        match (&self.after_fence, mine) {
            (AfterFence::Resume, true) => self.go(Trigger::ProvenStillMine),
            (AfterFence::GiveBack { .. }, true) => {
                self.keeper.renounce(self.keeper.term);
                self.go(Trigger::ProvenGiveBack);
            }
            (AfterFence::Resume | AfterFence::GiveBack { .. }, false) => self.go(Trigger::ProvenNotMine),
        }
    }

    /// Nothing granted before counts any more ([`super::keeper::Keeper::renounce`]), so however late the release
    /// is applied, nobody writes under it.
    pub(super) fn step_releasing(&mut self) {
        let AfterFence::GiveBack { end, to } = self.after_fence.clone() else {
            return self.go(Trigger::GivenBack);
        };
        let term = self.keeper.term;
        if !self.lease_is_mine() || self.term() != term {
            self.journal(JournalEntry::Released { term, to });
            return self.go(Trigger::GivenBack);
        }
        if self.may_ask(Purpose::Release) {
            let renewal = self.keeper.next_number();
            let (holder, incarnation) = (self.config.me.clone(), self.config.member.incarnation);
            let id = self.propose(Request::Release { holder, incarnation, term, renewal, end, to });
            self.asked(Purpose::Release, id);
        }
    }
}
