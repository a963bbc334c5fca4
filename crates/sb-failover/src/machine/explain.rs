use sb_topology::ServerName;
use serde::{Deserialize, Serialize};

use crate::record::Automatic;
use crate::resolver::{Rest, Step};
use crate::timings::ms;
use crate::{BootTime, ClusterRecord, Election, Role, Storage, at_risk, elect};

use super::{Machine, ParkReason, State};

/// One condition that the machine waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// What is looked at, such as `lag`.
    pub name: String,
    /// What it is now.
    pub observed: String,
    /// What it must be.
    pub limit: String,
    /// Whether it is.
    pub ok: bool,
}

/// Why a machine is where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Where it is.
    pub state: State,
    /// What it waits for.
    pub gates: Vec<Gate>,
    /// What happens next by itself, or the command that a person has to give.
    pub next: String,
    /// What it has to do with a primary that goes on without the store.
    pub failsafe: FailsafePart,
}

/// A server's part while a primary goes on without the store (R10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailsafePart {
    /// None.
    #[default]
    Nothing,
    /// It is that primary.
    Holds,
    /// It has promised not to take over.
    Promised,
}

impl Gate {
    pub(crate) fn new(name: &str, observed: impl ToString, limit: impl ToString, ok: bool) -> Self {
        Self { name: name.into(), observed: observed.to_string(), limit: limit.to_string(), ok }
    }
}

fn gate(name: &str, observed: impl ToString, limit: impl ToString, ok: bool) -> Gate {
    Gate::new(name, observed, limit, ok)
}

impl Machine {
    /// Why the machine is where it is, and what it waits for.
    #[must_use]
    pub fn explain(&self, now: BootTime) -> Explanation {
        let mut gates = Vec::new();
        if self.storage == Storage::Hangs {
            gates.push(gate("disk of the data directory", "does not answer", "answers", false));
        }
        self.explain_lease(now, &mut gates);
        self.explain_election(now, &mut gates);
        self.explain_opening(&mut gates);
        self.explain_sync(&mut gates);
        let failsafe = self.failsafe_part(now);
        Explanation { state: self.state, gates, next: self.explain_next(now), failsafe }
    }

    fn explain_lease(&self, now: BootTime, gates: &mut Vec<Gate>) {
        let Some(record) = &self.record else {
            gates.push(gate("record", "not known yet", "read from the store", false));
            return;
        };
        let Some(lease) = &record.lease else {
            gates.push(gate("cluster", "not initialized", "initialized by its founder", false));
            return;
        };
        let holder = format!("`{}` (term {}, renewal {})", lease.holder, lease.term, lease.seq);
        let held = lease.released.is_none();
        gates.push(gate("lease", if held { holder } else { format!("{holder}, given back") }, "held", held));
        if let Some(until) = self.keeper.valid_until() {
            let left = until.since(now).as_millis();
            let lead = u128::from(self.timings().fence_lead_ms);
            gates.push(gate("lease left", format!("{left} ms"), format!("more than {lead} ms"), left > lead));
        }
        if self.keeper.valid_until().is_some() {
            let (ttl_ms, why) = self.explain_pace();
            let limit = format!("up to {} ms", self.timings().ttl_ms_max);
            gates.push(gate("lease length", format!("{ttl_ms} ms: {why}"), limit, true));
        }
        self.explain_failsafe(now, gates);
        if let Some(pause) = &record.pause {
            gates.push(gate("pause", format!("for {} ms by {}", pause.for_ms, pause.by), "none", false));
        }
        if record.sync.degraded {
            gates.push(gate(
                "synchronous set",
                "fallen back",
                format!("{} standbys", record.sync.number),
                false,
            ));
        }
    }

    fn failsafe_part(&self, now: BootTime) -> FailsafePart {
        if self.failsafe_holds() {
            FailsafePart::Holds
        } else if self.held_back_for(now).is_some() {
            FailsafePart::Promised
        } else {
            FailsafePart::Nothing
        }
    }

    fn explain_failsafe(&self, now: BootTime, gates: &mut Vec<Gate>) {
        for (by, reason) in self.failsafe_refusals() {
            gates.push(gate("failsafe", format!("`{by}` refused: {reason}"), "everybody promises", false));
        }
        if let Some(left) = self.held_back_for(now) {
            let observed = format!("for {} ms more", left.as_millis());
            gates.push(gate("promised not to take over", observed, "the primary asked", false));
        }
    }

    fn explain_election(&self, now: BootTime, gates: &mut Vec<Gate>) {
        if !matches!(self.state, State::Frozen | State::Fetching | State::Claiming) {
            return;
        }
        let Some(record) = &self.record else {
            return;
        };
        if let Some(at) = self.watch.over_at(self.timings()) {
            let left = at.since(now).as_millis();
            gates.push(gate("lease over", format!("in {left} ms"), "0 ms", left == 0));
        }
        self.explain_reports(record, gates);
        match elect(record) {
            Election::Decided(ranked) => gates.push(gate("candidate", &ranked[0].server, "one", true)),
            Election::Blocked(why) => {
                let why = why.map_or_else(|| "no reports".to_owned(), |w| w.to_string());
                gates.push(gate("candidate", why, "one", false));
            }
        }
    }

    fn explain_reports(&self, record: &ClusterRecord, gates: &mut Vec<Gate>) {
        let reported = |s: &ServerName| record.valid_reports().any(|(r, _)| r == s);
        let voters = record.sync.voters.iter().filter(|s| **s != self.config.me);
        let (have, missing): (Vec<_>, Vec<_>) = voters.partition(|s| reported(s));
        let need = record.reports_needed(&self.config.me);
        let missing: Vec<_> = missing.iter().map(|s| format!("`{s}`")).collect();
        let missing =
            if missing.is_empty() { String::new() } else { format!("; not from {}", missing.join(", ")) };
        let observed = format!("{}{missing}", have.len());
        gates.push(gate("reports of voters", observed, format!("{need} or more"), have.len() >= need));
    }

    fn explain_opening(&self, gates: &mut Vec<Gate>) {
        if !matches!(self.state, State::Recording | State::Reopening) {
            return;
        }
        let (Some(record), Some(end)) = (&self.record, &self.stage.position) else {
            return;
        };
        let recorded = record.lineage.as_ref().is_some_and(|l| l.term == record.term());
        gates.push(gate("lineage on record", recorded, true, recorded));
        if record.sync.durability.is_synchronous() && !record.sync.degraded {
            let names = self.setting.as_ref().map(|s| s.sync.names.clone()).unwrap_or_default();
            let have = self.flushed_by(&names, end.flushed);
            let need = record.sync.number;
            let limit = format!("{need} standbys past {}", end.flushed);
            gates.push(gate("standbys", have, limit, have >= need));
        }
    }

    fn explain_sync(&self, gates: &mut Vec<Gate>) {
        if !matches!(self.state, State::Recording | State::Reopening | State::Leading) {
            return;
        }
        let Some(step) = self.sync_step() else {
            return;
        };
        let (observed, settled) = match step {
            Step::Rest(rest) => (rest.to_string(), matches!(rest, Rest::Settled | Rest::Asynchronous)),
            Step::Postgres { why, .. } | Step::Record { why, .. } => (why.to_string(), false),
        };
        gates.push(gate("synchronous set", observed, "what it shall be", settled));
    }

    /// Whether no server may take over by itself, and nobody has named one.
    fn waits_for_a_person(&self) -> bool {
        let record = self.record.as_ref();
        record.is_some_and(|r| r.automatic != Automatic::Allowed && r.transfer.is_none())
    }

    /// What a person may do where the lease has ended and no report makes anybody eligible.
    fn explain_stalemate(&self, now: BootTime) -> Option<String> {
        let record = self.record.as_ref().filter(|r| r.transfer.is_none())?;
        let over = self.watch.over_at(self.timings())?;
        let Election::Blocked(Some(why)) = elect(record) else {
            return None;
        };
        let (server, bytes) = at_risk(record).filter(|_| over <= now)?;
        let loss = if bytes == 0 { String::new() } else { format!(" --accept-data-loss {bytes}") };
        Some(format!(
            "nobody takes over by itself: {why}; if the former primary is gone for good: \
             sb-cli failover --to {server}{loss}"
        ))
    }

    fn explain_next(&self, now: BootTime) -> String {
        let within = |milliseconds: u64| format!("{:?}", ms(milliseconds));
        let timings = self.timings();
        match self.state {
            State::Starting => "waits for the guard, the store and PostgreSQL to be seen".into(),
            State::Waiting => "clones as soon as there is a primary".into(),
            State::Initializing => "makes the database, then asks the store for term 1".into(),
            State::Repairing => "follows when the copy is complete".into(),
            State::Following => "follows; freezes when the primary's renewals stop".into(),
            State::Freezing => "reports its position when the receiver has stopped".into(),
            State::Frozen if self.waits_for_a_person() => {
                "a person must name the next primary: sb-cli failover --to SERVER".into()
            }
            State::Frozen => self
                .explain_stalemate(now)
                .unwrap_or_else(|| "takes over in its turn, or follows again when the primary renews".into()),
            State::Fetching => format!(
                "takes over when it has the missing log, gives up after {}",
                within(timings.fetch_limit_ms)
            ),
            State::Claiming => "waits for the store's answer".into(),
            State::Elected | State::Promoting => {
                format!(
                    "leads when promoted, gives the lease back after {}",
                    within(timings.promote_limit_ms)
                )
            }
            State::Recording | State::Reopening => "lets clients in when every gate is open".into(),
            State::Leading => "leads; ends with its lease".into(),
            State::Restarting => {
                let running = self.postgres.as_ref().is_some_and(|p| p.role != Role::Stopped);
                let how = if running { "starting" } else { "down" };
                format!(
                    "PostgreSQL is {how}; gives the lease back after {}",
                    within(timings.restart_budget_ms)
                )
            }
            State::Draining => {
                format!("hands over when shut down, gives up after {}", within(timings.stop_limit_ms))
            }
            State::Fencing => "goes on when no process of PostgreSQL is left".into(),
            State::Releasing => "follows when the store has taken the lease back".into(),
            State::Witnessing => "votes in the store; it has no PostgreSQL".into(),
            State::Parked => match self.parked {
                Some(ParkReason::ForeignData) => {
                    "a person must act: move the data directory away, then `systemctl restart sb-agent`"
                        .into()
                }
                Some(ParkReason::NotTheFounder) => {
                    "a person must act: this server was not the first; move its data directory away, then \
                     `systemctl restart sb-agent`"
                        .into()
                }
                None => "a person must act".into(),
            },
        }
    }
}
