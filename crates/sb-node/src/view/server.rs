//! This server alone, from memory.

use sb_api::{
    FailsafePart, GuardState, GuardStatus, KernelFence, LeaseStatus, Role, ServerStatus, StoreRole, SyncState,
};
use sb_failover::State;
use sb_pgrepl::Status;
use sb_pgtypes::Lsn;

use super::Agent;
use crate::guard::{BootNanos, Postmaster};
use crate::http::{Follows, WaitedFor};
use crate::membership::store_roles;
use crate::packet_fence::Passage;
use crate::words;

impl Agent {
    pub(super) fn own_status(&self) -> ServerStatus {
        let seen = self.seen.borrow().clone();
        let state = self.state();
        let status = seen.status.as_ref();
        let mut own = ServerStatus::unknown(self.me.name.as_str(), self.me.site.as_str());
        own.role = self.role(state, status);
        own.state = state.map_or_else(|| "starting".to_owned(), words::state);
        own.agent_version = Some(env!("CARGO_PKG_VERSION").to_owned());
        own.incarnation = Some(self.store.member().id.get());
        own.reachable = Some(true);
        own.promotable = Some(self.me.has_postgres());
        own.upstream =
            seen.observation.as_ref().and_then(|o| o.streaming_from.as_ref()).map(ToString::to_string);
        own.lease = self.lease_status(state);
        own.guard = Some(self.guard_status());
        own.kernel_fence = match self.fence.passage() {
            Passage::Leased => KernelFence::Open,
            Passage::Closed => KernelFence::Closed,
            Passage::Free => KernelFence::Absent,
            Passage::Unknown => KernelFence::Unknown,
        };
        let roles = store_roles(&self.store.health().borrow());
        own.store_role = roles.get(self.me.name.as_str()).copied().unwrap_or(StoreRole::Unknown);
        if let Some(status) = status {
            self.positions(&mut own, status);
        }
        own.problems = self.own_problems();
        own.failsafe = self.failsafe_part();
        own.proxy = self.proxy.numbers();
        own
    }

    fn positions(&self, own: &mut ServerStatus, status: &Status) {
        let position = status.position.as_ref();
        own.timeline = position.map(|p| p.lineage.current().get());
        own.flushed_lsn = position.map(|p| p.flushed.to_string());
        own.replayed_lsn = match status.role {
            sb_pgrepl::Role::Primary => own.flushed_lsn.clone(),
            sb_pgrepl::Role::Standby => status.replayed.map(|lsn| lsn.to_string()),
        };
        own.lag_bytes = match status.role {
            sb_pgrepl::Role::Primary => Some(0),
            sb_pgrepl::Role::Standby => self.lag(position.map(|p| p.flushed)),
        };
        own.sync = match status.role {
            sb_pgrepl::Role::Primary => None,
            sb_pgrepl::Role::Standby => self.sync_state(),
        };
    }

    /// For health checks: a standby with a receiver at work.
    pub(super) fn follows(&self) -> Option<Follows> {
        let seen = self.seen.borrow().clone();
        let status = seen.status.as_ref().filter(|s| s.role == sb_pgrepl::Role::Standby)?;
        seen.observation.as_ref()?.streaming_from.as_ref()?;
        let received = status.position.as_ref().map(|position| position.flushed);
        let waited_for = self.sync_state() == Some(SyncState::Quorum);
        Some(Follows {
            waited_for: if waited_for { WaitedFor::Yes } else { WaitedFor::No },
            write_lag_bytes: self.lag(received),
            apply_lag_bytes: self.lag(status.replayed),
        })
    }

    /// Against the primary's position at its last renewal; nothing is known before the first, or cut off from the store.
    pub(super) fn lag(&self, flushed: Option<Lsn>) -> Option<u64> {
        if self.store_status().majority != Some(true) {
            return None;
        }
        let record = self.record();
        let primary = record.position.as_ref()?;
        Some(primary.flushed.bytes_ahead_of(flushed?))
    }

    fn sync_state(&self) -> Option<SyncState> {
        let record = self.record();
        if !record.sync.durability.is_synchronous() {
            return Some(SyncState::Async);
        }
        let waited_for = record.sync.voters.contains(&self.me.name);
        Some(if waited_for { SyncState::Quorum } else { SyncState::Async })
    }

    fn role(&self, state: Option<State>, status: Option<&Status>) -> Role {
        if !self.me.has_postgres() {
            return Role::Witness;
        }
        match state {
            Some(State::Leading) => return Role::Primary,
            Some(
                State::Elected | State::Promoting | State::Recording | State::Reopening | State::Restarting,
            ) => return Role::Promoting,
            Some(State::Repairing) => return Role::Cloning,
            Some(State::Fencing | State::Releasing | State::Draining) => return Role::Fenced,
            Some(
                State::Starting
                | State::Waiting
                | State::Initializing
                | State::Following
                | State::Freezing
                | State::Frozen
                | State::Fetching
                | State::Claiming
                | State::Parked
                | State::Witnessing,
            )
            | None => {}
        }
        match status.map(|status| status.role) {
            Some(sb_pgrepl::Role::Standby) => Role::Standby,
            Some(sb_pgrepl::Role::Primary) => Role::Unknown,
            None => Role::Stopped,
        }
    }

    fn lease_status(&self, state: Option<State>) -> Option<LeaseStatus> {
        let status = self.guard.status().borrow().clone()?;
        let armed = status.armed?;
        state?;
        let lead = std::time::Duration::from_millis(self.record().timings.fence_lead_ms);
        let remaining = armed.fence_at.plus(lead).since(BootNanos::now());
        let remaining_ms = u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX);
        Some(LeaseStatus { term: armed.term.get(), remaining_ms })
    }

    pub(super) fn failsafe_part(&self) -> Option<FailsafePart> {
        match self.turn.borrow().as_ref()?.explanation.failsafe {
            sb_failover::FailsafePart::Nothing => None,
            sb_failover::FailsafePart::Holds => Some(FailsafePart::Holds),
            sb_failover::FailsafePart::Promised => Some(FailsafePart::Promised),
        }
    }

    fn guard_status(&self) -> GuardStatus {
        let Some(status) = self.guard.status().borrow().clone() else {
            return GuardStatus { state: GuardState::Missing, fence_in_ms: None, postmaster: None };
        };
        let state = match (status.fenced, status.armed) {
            (Some(_), None) => GuardState::Fenced,
            (_, Some(_)) => GuardState::Armed,
            (None, None) => GuardState::Idle,
        };
        let fence_in = status.armed.map(|armed| armed.fence_at.since(BootNanos::now()));
        let postmaster = match status.postmaster {
            Postmaster::Running { pid } | Postmaster::Starting { pid } => Some(pid),
            Postmaster::Absent | Postmaster::Ending => None,
        };
        let fence_in_ms = fence_in.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
        GuardStatus { state, fence_in_ms, postmaster }
    }

    fn own_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.me.has_postgres() && self.guard.status().borrow().is_none() {
            problems.push("the guard cannot be reached".to_owned());
        }
        if let Some(reason) = self.fence.trouble().filter(|_| self.me.has_postgres()) {
            problems.push(format!("the kernel's fence is not in force: {reason}"));
        }
        if let Some(failure) = &self.store.health().borrow().failure {
            problems.push(format!("the store has stopped: {failure}"));
        }
        problems.extend(self.recovery.kept_out.borrow().clone());
        if self.state() == Some(State::Parked) {
            let turn = self.turn.borrow();
            problems.extend(turn.as_ref().map(|turn| turn.explanation.next.clone()));
        }
        problems.extend(self.troubles.sentences());
        problems
    }
}
