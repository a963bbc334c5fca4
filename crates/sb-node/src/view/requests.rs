//! What people ask for: gates first, the same for a dry run, then one request to the store.

use std::time::Duration;

use sb_api::{
    FailoverRequest, Gate, Operation, OperationState, PauseRequest, Problem, Refused, ResumeRequest, Role,
    ServerStatus, Status, SwitchoverRequest,
};
use sb_consensus::ProposeError;
use sb_failover::record::{PAUSE_MS_MAX, Pause, Transfer, TransferId, TransferKind};
use sb_failover::{ClusterRecord, Request, loss_if_named};
use sb_topology::ServerName;

use super::Agent;
use super::cluster::takes_no_writes;
use super::judged::as_if_reported;
use crate::gates::{EXPECT_PRIMARY, bytes, gate, passed};
use crate::http::Caller;
use crate::operations::{Mark, new_operation};

/// Longest wait for the store to take a request, in milliseconds.
const REQUEST_MS_MAX: u64 = 4_000;

impl Agent {
    pub(super) async fn request_switchover(
        &self,
        by: &Caller,
        request: SwitchoverRequest,
    ) -> Refused<Operation> {
        let to = request.to.as_deref().map(|text| self.target(text)).transpose()?;
        let mut status = self.cluster_status(&self.peers.look().await);
        let mut gates = self.gates_of_switchover(&status, &request, to.as_ref());
        // A server that came back a moment ago may be ready by its own word, and not yet by the one heard here last.
        if gates.iter().any(|gate| !gate.ok) {
            status = self.cluster_status(&self.peers.look_afresh().await);
            gates = self.gates_of_switchover(&status, &request, to.as_ref());
        }
        let title = to
            .as_ref()
            .map_or_else(|| "cannot switch over".to_owned(), |to| format!("cannot switch over to `{to}`"));
        passed("switchover.refused", &title, gates)?;
        let from = status.cluster.primary.clone().unwrap_or_default();
        let name = to.as_ref().map_or_else(|| "the best standby".to_owned(), |to| format!("`{to}`"));
        let steps = [
            format!("`{from}` shuts PostgreSQL down and gives its lease back"),
            format!("{name} takes the lease and is promoted"),
            format!("`{from}` and the others follow"),
        ];
        let operation = new_operation(fresh_id(), "switchover", &by.name, &steps);
        if request.dry_run {
            return Ok(planned(operation, format!("{name} would be primary; `{from}` would follow it")));
        }
        self.transfer(operation, to, TransferKind::Switchover, by).await
    }

    pub(super) async fn request_failover(&self, by: &Caller, request: FailoverRequest) -> Refused<Operation> {
        let peers = self.peers.look().await;
        let status = self.cluster_status(&peers);
        let accepted = request.accept_data_loss_bytes.unwrap_or(0);
        let mut gates = self.common_gates(&status, request.expect_primary.as_deref());
        let to = self.target(&request.to)?;
        gates.extend(failover_gates(&status, &to));
        gates.push(loss_gate(&self.record(), &status.servers, &to, accepted));
        passed("failover.refused", &format!("cannot promote `{to}`"), gates)?;
        let steps = [
            "the lease of the former primary ends".to_owned(),
            format!("`{to}` takes the lease and is promoted"),
            "the others follow".to_owned(),
        ];
        let operation = new_operation(fresh_id(), "failover", &by.name, &steps);
        if request.dry_run {
            return Ok(planned(operation, format!("`{to}` would be primary")));
        }
        let kind = TransferKind::Failover { accept_data_loss_bytes: accepted };
        self.transfer(operation, Some(to), kind, by).await
    }

    pub(super) async fn request_pause(&self, by: &Caller, request: PauseRequest) -> Refused<Operation> {
        let for_ms = request.for_seconds.saturating_mul(1_000);
        if for_ms == 0 || for_ms > PAUSE_MS_MAX {
            let detail =
                format!("Asked for {} s; allowed are 1 to {} s.", request.for_seconds, PAUSE_MS_MAX / 1_000);
            let problem = Problem::new(400, "pause.length", "a pause has a length that ends by itself");
            return Err(Box::new(problem.detail(detail)));
        }
        let id = fresh_id();
        let operation = new_operation(id, "pause", &by.name, &[]);
        let result = format!("no automatic failover for {} s", request.for_seconds);
        if request.dry_run {
            return Ok(planned(operation, result));
        }
        let reason = request.reason.unwrap_or_default();
        self.propose(Request::SetPause { pause: Pause { id, for_ms, by: by.name.clone(), reason } }).await?;
        Ok(self.done(operation, result).await)
    }

    pub(super) async fn request_resume(&self, by: &Caller, request: ResumeRequest) -> Refused<Operation> {
        let record = self.record();
        let not_paused =
            || Box::new(Problem::refused("resume.not_paused", "automatic failover is not paused"));
        let id = record.pause.as_ref().ok_or_else(not_paused)?.id;
        let operation = new_operation(fresh_id(), "resume", &by.name, &[]);
        let result = "automatic failover is on".to_owned();
        if request.dry_run {
            return Ok(planned(operation, result));
        }
        self.propose(Request::ClearPause { id }).await?;
        Ok(self.done(operation, result).await)
    }

    async fn transfer(
        &self,
        operation: Operation,
        to: Option<ServerName>,
        kind: TransferKind,
        by: &Caller,
    ) -> Refused<Operation> {
        let id = u64::from_str_radix(&operation.id, 16).expect("the id was made from a number");
        let id = TransferId(id);
        let since = self.record().term();
        let mark = Mark::Transfer { id, since, to: to.as_ref().map(ToString::to_string) };
        self.propose(Request::RequestTransfer { transfer: Transfer { id, to, kind, by: by.name.clone() } })
            .await?;
        self.operations.begin(operation.clone(), mark).await;
        Ok(operation)
    }

    pub(super) async fn done(&self, mut operation: Operation, result: String) -> Operation {
        operation.state = OperationState::Done;
        operation.result = Some(result);
        self.operations.begin(operation.clone(), Mark::Ended).await;
        operation
    }

    pub(super) async fn propose(&self, request: Request) -> Refused<()> {
        match self.store.propose(request, Duration::from_millis(REQUEST_MS_MAX)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(rejection)) => {
                Err(Box::new(Problem::refused("store.rejected", "the cluster's record refused it").detail(rejection.to_string())))
            }
            Err(ProposeError::Ambiguous { .. }) => Err(Box::new(
                Problem::unavailable("store.ambiguous", "it is not known whether the request was taken")
                    .hint("See first whether it was: sb-cli status. To ask again safely, add --expect-primary with the primary shown there."),
            )),
            Err(error) => Err(Box::new(
                Problem::unavailable("store.unavailable", "the store does not take requests at present")
                    .detail(error.to_string())
                    .hint("Ask an agent on the side of the majority: sb-cli status shows the store."),
            )),
        }
    }

    /// The server of this name, which is not primary already.
    fn target(&self, text: &str) -> Refused<ServerName> {
        let known: Vec<String> = self.topology.servers().map(|s| s.name.to_string()).collect();
        let unknown = || {
            let hint = format!("The servers are {}.", known.join(", "));
            Box::new(Problem::not_found("server.unknown", format!("there is no server `{text}`")).hint(hint))
        };
        let name: ServerName = text.parse().map_err(|_| unknown())?;
        self.topology.server(&name).ok_or_else(unknown)?;
        if self.record().holder() == Some(&name) {
            let problem = Problem::refused("transfer.is_primary", format!("`{name}` is primary already"));
            return Err(Box::new(problem));
        }
        Ok(name)
    }

    pub(super) fn common_gates(&self, status: &Status, expect_primary: Option<&str>) -> Vec<Gate> {
        let record = self.record();
        let primary = status.cluster.primary.as_deref();
        let store = !takes_no_writes(&status.cluster.store);
        let mut gates = vec![
            gate(
                "store",
                if store { "a majority answers" } else { "no majority" },
                "a majority answers",
                store,
            ),
            gate(
                "transfer",
                if record.transfer.is_some() { "one is under way" } else { "none" },
                "none is under way",
                record.transfer.is_none(),
            ),
        ];
        if let Some(expected) = expect_primary {
            let observed = primary.or(record.lease.as_ref().map(|l| l.holder.as_str())).unwrap_or("none");
            gates.push(gate(EXPECT_PRIMARY, observed, expected, observed == expected));
        }
        gates
    }
}

impl Agent {
    fn gates_of_switchover(
        &self,
        status: &Status,
        request: &SwitchoverRequest,
        to: Option<&ServerName>,
    ) -> Vec<Gate> {
        let mut gates = self.common_gates(status, request.expect_primary.as_deref());
        let primary = status.cluster.primary.as_deref();
        gates.push(gate("primary", primary.unwrap_or("none"), "one holds the lease", primary.is_some()));
        match to {
            Some(to) => gates.extend(self.switchover_gates(status, to)),
            None => gates.push(self.any_candidate(status)),
        }
        gates
    }

    fn switchover_gates(&self, status: &Status, to: &ServerName) -> Vec<Gate> {
        let mut gates = failover_gates(status, to);
        let server = of(status, to);
        let upstream = server.and_then(|s| s.upstream.as_deref());
        let primary = status.cluster.primary.as_deref();
        gates.push(gate(
            "streaming",
            upstream.unwrap_or("from nobody"),
            primary.unwrap_or("from the primary"),
            upstream.is_some() && upstream == primary,
        ));
        // The failover machine holds the same bound against the standby when it begins.
        let lag_bytes_max = self.record().lag_bytes_max;
        let lag = server.and_then(|s| s.lag_bytes);
        let observed = lag.map_or_else(|| "unknown".to_owned(), bytes);
        let limit = bytes(lag_bytes_max);
        gates.push(gate("lag", &observed, &limit, lag.is_some_and(|bytes| bytes <= lag_bytes_max)));
        gates
    }

    fn any_candidate(&self, status: &Status) -> Gate {
        let eligible = |s: &&ServerStatus| {
            s.name.parse().is_ok_and(|name| self.switchover_gates(status, &name).iter().all(|gate| gate.ok))
        };
        let count = status.servers.iter().filter(eligible).count();
        gate("candidates", &count.to_string(), "1 or more", count > 0)
    }

    /// Every server that could be primary, with its gates: for `explain`.
    pub(super) fn candidate_gates(&self, status: &Status, server: &ServerName) -> Vec<Gate> {
        self.switchover_gates(status, server)
    }
}

fn of<'a>(status: &'a Status, server: &ServerName) -> Option<&'a ServerStatus> {
    status.servers.iter().find(|s| s.name == server.as_str())
}

/// What would be lost of the former primary's last word, once `to` has taken what another has more.
fn loss_gate(record: &ClusterRecord, servers: &[ServerStatus], to: &ServerName, accepted: u64) -> Gate {
    let limit = bytes(accepted);
    match loss_if_named(&as_if_reported(record, servers), to) {
        Some(lost) => {
            // A living primary waits for the receiver to have everything, so nothing is lost then.
            let primary = servers.iter().any(|s| s.role == Role::Primary);
            gate("loss", &bytes(lost), &limit, primary || lost <= accepted)
        }
        None => gate("loss", "unknown", &limit, false),
    }
}

fn failover_gates(status: &Status, to: &ServerName) -> Vec<Gate> {
    let server = of(status, to);
    let reachable = server.is_some_and(|s| s.reachable == Some(true));
    let promotable = server.is_some_and(|s| s.promotable == Some(true));
    let role = server.map_or(Role::Unknown, |s| s.role);
    vec![
        gate("reachable", if reachable { "yes" } else { "no" }, "yes", reachable),
        gate("promotable", if promotable { "yes" } else { "no" }, "yes", promotable),
        gate("standby", role.word(), "standby", role == Role::Standby),
    ]
}

pub(super) fn planned(mut operation: Operation, result: String) -> Operation {
    operation.state = OperationState::Planned;
    operation.result = Some(result);
    operation
}

/// An id that no other operation of the cluster has, as far as 64 random bits go.
pub(super) fn fresh_id() -> u64 {
    rand::random()
}

#[cfg(test)]
mod tests {
    use sb_failover::State;
    use sb_failover::record::{Automatic, Durability, Member};
    use sb_failover::{Incarnation, RenewalNumber};
    use sb_pgtypes::{Lineage, Lsn, Position, SystemIdentifier};

    use super::*;
    use crate::words;

    fn name(text: &str) -> ServerName {
        text.parse().unwrap()
    }

    /// `ravena-1` was the primary, and told 0x9000 last.
    fn record() -> ClusterRecord {
        let mut record = ClusterRecord::default();
        for server in ["ravena-1", "burlington-1", "tucson-1"] {
            let site = server.split('-').next().unwrap().parse().unwrap();
            let incarnation = Incarnation::new(1);
            let member = Member { incarnation, site, priority: 0, promotable: true, sync_eligible: false };
            record.apply(&Request::Register { server: name(server), member }).unwrap();
        }
        let founded = Request::Initialize {
            by: name("ravena-1"),
            incarnation: Incarnation::new(1),
            system_identifier: SystemIdentifier::new(7),
            lineage: Lineage::first(),
            renewal: RenewalNumber::default(),
            ttl_ms: 3_500,
            durability: Durability::Async,
            number: 0,
            lag_bytes_max: 0,
            automatic: Automatic::Allowed,
        };
        record.apply(&founded).unwrap();
        record.position = Some(Position { lineage: Lineage::first(), flushed: Lsn::new(0x9000) });
        record
    }

    fn standby(name: &str, flushed: &str) -> ServerStatus {
        ServerStatus {
            role: Role::Standby,
            state: words::state(State::Frozen),
            reachable: Some(true),
            timeline: Some(1),
            flushed_lsn: Some(flushed.into()),
            ..ServerStatus::unknown(name, "a-site")
        }
    }

    #[test]
    fn a_choice_is_measured_with_what_it_takes_first_from_another() {
        let (record, to) = (record(), name("tucson-1"));
        let alone = [standby("tucson-1", "0/7000")];
        assert_eq!(loss_gate(&record, &alone, &to, 0), gate("loss", "8 KiB", "0 bytes", false));
        assert_eq!(loss_gate(&record, &alone, &to, 8_192), gate("loss", "8 KiB", "8 KiB", true));
        let both = [standby("tucson-1", "0/7000"), standby("burlington-1", "0/8000")];
        assert_eq!(loss_gate(&record, &both, &to, 4_096), gate("loss", "4 KiB", "4 KiB", true));
        let whole = [standby("tucson-1", "0/7000"), standby("burlington-1", "0/9000")];
        assert_eq!(loss_gate(&record, &whole, &to, 0), gate("loss", "0 bytes", "0 bytes", true));
    }

    #[test]
    fn a_choice_that_would_not_report_is_refused() {
        let (record, to) = (record(), name("tucson-1"));
        let other_line = [ServerStatus { timeline: Some(2), ..standby("tucson-1", "0/9000") }];
        let copying =
            [ServerStatus { state: words::state(State::Repairing), ..standby("tucson-1", "0/9000") }];
        for servers in [other_line, copying] {
            assert_eq!(loss_gate(&record, &servers, &to, u64::MAX).observed, "unknown", "{servers:?}");
            assert!(!loss_gate(&record, &servers, &to, u64::MAX).ok);
        }
    }
}
