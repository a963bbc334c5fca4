//! Going on without the majority of the store: the plan, and what a person asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sb_api::{
    Operation, Problem, RecoverRequest, RecoveryPlan, Refused, RejoinRequest, ServerStatus, StoreWord,
};
use sb_failover::Request;
use sb_failover::record::Recovery;
use sb_pgtypes::Position;
use sb_topology::ServerName;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Agent;
use super::requests::{fresh_id, planned};
use crate::Layout;
use crate::gates::{EXPECT_PRIMARY, bytes, gate};
use crate::http::Caller;
use crate::journal::Entry;
use crate::operations::{Mark, new_operation};
use crate::peers::{STALE_MS, Word as PeerWord};
use crate::persisted::Memory;
use crate::recovery::assessment::{Assessment, Sight, Word};
use crate::recovery::{Intent, from_wire, longest_lease, to_wire};

/// Before the agent ends itself its answer is to reach whoever asked, in milliseconds.
const ANSWER_GRACE_MS: u64 = 300;

/// What a recovery needs of the agent besides what everything else does.
pub struct RecoveryLine {
    /// Where the intent is written.
    pub layout: Layout,
    /// What was promised to a primary without a store.
    pub memory: Memory,
    /// Why this server is kept out of the store, while it is.
    pub kept_out: watch::Receiver<Option<String>>,
    /// Ends the agent, which its unit starts again.
    pub stop: CancellationToken,
}

impl Agent {
    pub(super) fn own_position(&self) -> Option<Position> {
        self.seen.borrow().status.as_ref()?.position.clone()
    }

    pub(super) fn store_word(&self) -> StoreWord {
        let word = self.own_word();
        StoreWord {
            generation: word.generation,
            holder: word.holder,
            term: word.term,
            holder_position: word.position.as_ref().map(to_wire),
        }
    }

    /// What this replica says, and what a primary without a store has told this server and nobody else.
    fn own_word(&self) -> Word {
        let record = self.record();
        let told = self.recovery.memory.recall().ok().and_then(|stored| stored.failsafe);
        let told = told.filter(|promise| promise.term == record.term()).and_then(|promise| promise.position);
        let newer = |told: &Position| record.position.as_ref().is_none_or(|known| told.contains(known));
        Word {
            generation: record.branch.generation,
            term: record.term().get(),
            holder: record.lease.as_ref().map(|lease| lease.holder.to_string()),
            position: told.filter(newer).or_else(|| record.position.clone()),
        }
    }

    pub(super) async fn plan_recovery(&self) -> Refused<RecoveryPlan> {
        self.refuse_etcd()?;
        Ok(self.assessed(|assessment| assessment.plan()).await)
    }

    pub(super) async fn request_recover(&self, by: &Caller, request: RecoverRequest) -> Refused<Operation> {
        self.refuse_etcd()?;
        let to = self.known_server(&request.to)?;
        let lost = request.confirm_lost.iter().map(|name| self.known_server(name));
        let given_up = lost.collect::<Refused<BTreeSet<_>>>()?;
        let mut gates = self.assessed(|assessment| assessment.gates(&request)).await;
        if let Some(expected) = &request.expect_primary {
            let record = self.record();
            let observed = record.lease.as_ref().map_or("none", |lease| lease.holder.as_str());
            gates.push(gate(EXPECT_PRIMARY, observed, expected, observed == expected));
        }
        if gates.iter().any(|gate| !gate.ok) {
            let problem = Problem::refused("recover.refused", format!("cannot go on with `{to}` alone"));
            let hint = format!(
                "What there is, and what to confirm: sb-cli recover --plan\n\
                 It is asked on the server that goes on, here `{to}`; a server that does not come up again is \
                 switched off and declared lost."
            );
            return Err(Box::new(problem.gates(gates).hint(hint)));
        }
        let wait = longest_lease(&self.record(), &self.topology, &self.recovery.memory);
        let id = fresh_id();
        let operation = new_operation(id, "recover", &by.name, &steps(&to, &given_up, wait));
        let accepted = request.accept_data_loss_bytes;
        if request.dry_run {
            let result = format!(
                "`{to}` would be primary of a store of its own; up to {} may be lost",
                bytes(accepted)
            );
            return Ok(planned(operation, result));
        }
        let recovery = Recovery {
            id,
            server: to.clone(),
            given_up,
            accept_data_loss_bytes: accepted,
            by: by.name.clone(),
        };
        self.begin_recovery(operation, recovery, wait).await
    }

    async fn begin_recovery(
        &self,
        operation: Operation,
        recovery: Recovery,
        wait: Duration,
    ) -> Refused<Operation> {
        let mark = Mark::Recovery { id: recovery.id, to: recovery.server.to_string() };
        let intent = Intent {
            member: self.store.member().id.get(),
            generation: self.record().branch.generation,
            wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            recovery,
        };
        let layout = self.recovery.layout.clone();
        let written = tokio::task::spawn_blocking(move || intent.write(&layout)).await;
        let failed = |reason: String| {
            let problem = Problem::new(500, "recover.not_noted", "could not note what was asked for");
            Box::new(problem.detail(reason))
        };
        written.map_err(|panic| failed(panic.to_string()))?.map_err(|error| failed(error.to_string()))?;
        self.operations.begin(operation.clone(), mark).await;
        let entry =
            Entry::new("store.recovery_asked", "a person asked to go on without the majority of the store");
        self.journal.record(entry.detail(format!("By `{}`.", operation.by)));
        let stop = self.recovery.stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(ANSWER_GRACE_MS)).await;
            stop.cancel();
        });
        Ok(operation)
    }

    pub(super) async fn request_rejoin(&self, by: &Caller, request: RejoinRequest) -> Refused<Operation> {
        let server = self.known_server(&request.server)?;
        let out = self.record().branch.given_up.contains(&server);
        if !out {
            let title = format!("`{server}` was not declared lost: it may join the store");
            return Err(Box::new(Problem::refused("rejoin.not_given_up", title)));
        }
        let operation = new_operation(fresh_id(), "rejoin", &by.name, &[]);
        let result = format!("`{server}` may join the store again, as a new incarnation");
        if request.dry_run {
            return Ok(planned(operation, result));
        }
        self.propose(Request::Readmit { server }).await?;
        Ok(self.done(operation, result).await)
    }

    pub(super) fn known_server(&self, text: &str) -> Refused<ServerName> {
        let known = text.parse().ok().filter(|name| self.topology.server(name).is_some());
        known.ok_or_else(|| {
            let names: Vec<_> = self.topology.servers().map(|server| server.name.to_string()).collect();
            let problem = Problem::not_found("server.unknown", format!("there is no server `{text}`"));
            Box::new(problem.hint(format!("The servers are {}.", names.join(", "))))
        })
    }

    /// What is lost with a majority of etcd is etcd's, and so is the way back.
    fn refuse_etcd(&self) -> Refused<()> {
        let health = self.store.health();
        let key = health.borrow().etcd.as_ref().map(|etcd| etcd.key.clone());
        let Some(key) = key else {
            return Ok(());
        };
        let problem = Problem::refused("recover.etcd", "the store is etcd, which has a recovery of its own");
        let detail =
            format!("The cluster's record is its key `{key}`; agents go on by themselves once etcd answers.");
        let hint = "Bring a majority of its members back on their data. An etcd that was restored from a snapshot, or \
                    forced to go on without its newest writes, is refused: docs/etcd.md";
        Err(Box::new(problem.detail(detail).hint(hint)))
    }

    async fn assessed<T>(&self, judge: impl FnOnce(&Assessment<'_>) -> T) -> T {
        let peers = self.peers.look().await;
        let status = self.cluster_status(&peers);
        let health = self.store.health().borrow().clone();
        let voters = health.membership.voters().map(|member| member.name.clone()).collect();
        judge(&Assessment {
            me: &self.me.name,
            record: &self.record(),
            voters: &voters,
            majority: status.cluster.store.majority,
            store_silent: health.quorum_contact_age_ms.map(Duration::from_millis),
            sights: status.servers.into_iter().filter_map(|server| self.sight(server, &peers)).collect(),
        })
    }

    fn sight(&self, status: ServerStatus, peers: &BTreeMap<ServerName, PeerWord>) -> Option<Sight> {
        let name: ServerName = status.name.parse().ok()?;
        let me = name == self.me.name;
        let heard = peers.get(&name);
        let fresh = heard.filter(|word| word.heard.elapsed() < Duration::from_millis(STALE_MS));
        let told = fresh.map(|word| &word.status);
        let position = told.and_then(|status| from_wire(status.position.as_ref()?));
        let word = told.and_then(|status| status.store.as_ref()).map(|store| Word {
            generation: store.generation,
            term: store.term,
            holder: store.holder.clone(),
            position: store.holder_position.as_ref().and_then(from_wire),
        });
        Some(Sight {
            answers: me || fresh.is_some(),
            silent: heard.map(|word| word.heard.elapsed()),
            store_role: status.store_role,
            role: status.role,
            promotable: status.promotable == Some(true),
            position: if me { self.own_position() } else { position },
            word: if me { Some(self.own_word()) } else { word },
            site: status.site,
            name,
        })
    }
}

fn steps(to: &ServerName, given_up: &BTreeSet<ServerName>, wait: Duration) -> [String; 4] {
    let names: Vec<_> = given_up.iter().map(ServerName::as_str).collect();
    [
        format!(
            "the agent of `{to}` starts again and waits {} s, until the last lease has certainly ended",
            wait.as_secs()
        ),
        format!("`{to}` begins a store of its own; {} are refused from then on", names.join(", ")),
        format!("`{to}` takes the lease and is promoted"),
        "the other servers that answer join the new store as new incarnations".to_owned(),
    ]
}
