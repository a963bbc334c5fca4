//! The agent as its API shows it: answers put together from what the runtime, PostgreSQL, the guard, the store and
//! the peers said last.

mod acceptance;
mod cluster;
mod durability;
mod explain;
mod judged;
mod manual;
mod mesh;
mod preshared;
mod recovery;
mod requests;
mod rotation;
mod server;
mod serving;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sb_api::{
    AcceptKeyRequest, DurabilityRequest, EVENTS_PER_ANSWER_MAX, Event, ExplainQuery, Explanation,
    FailoverRequest, FailsafeReply, FailsafeRequest, HistoryEntry, JoinAnswer, JoinRequest, Judgement, Mesh,
    MeshPreshared, MeshWord, Operation, PauseRequest, PeerStatus, PresharedAnswer, PresharedBegin,
    PresharedWord, RecoverRequest, RecoveryPlan, Refused, RejoinRequest, ResumeRequest, RotateKeyRequest,
    RotatePresharedRequest, ServerStatus, ServingQuery, ServingWord, Status, SwitchoverRequest,
};
use sb_client::state::Identity;
use sb_consensus::Store;
use sb_failover::{ClusterRecord, State};
use sb_topology::{Server, ServerName, Topology};
use tokio::sync::watch;

use crate::boottime;
use crate::failsafe_line::FailsafeLine;
use crate::guard_link::GuardLink;
use crate::http::{AgentView, Alive, Caller, Health, Kept, Lease, Postgres, Serves};
use crate::journal::Journal;
use crate::membership;
use crate::mesh::Knowledge;
use crate::operations::Operations;
use crate::packet_fence::PacketFence;
use crate::peers::Peers;
use crate::postgres::Seen;
use crate::proxy::ProxyLine;
use crate::recovery::to_wire;
use crate::replicated::Replicated;
use crate::runtime::Turn;
use crate::troubles::Troubles;

pub use recovery::RecoveryLine;

/// Everything that an answer is made of.
pub struct Agent {
    /// Who this server is.
    pub identity: Identity,
    /// Its place.
    pub me: Server,
    /// The topology in force.
    pub topology: Arc<Topology>,
    /// The store.
    pub store: Store<Replicated>,
    /// PostgreSQL's parent.
    pub guard: GuardLink,
    /// The second fence.
    pub fence: PacketFence,
    /// What PostgreSQL was seen doing.
    pub seen: watch::Receiver<Seen>,
    /// Where the failover machine is.
    pub turn: watch::Receiver<Option<Turn>>,
    /// What happened here.
    pub journal: Arc<Journal>,
    /// What the others say.
    pub peers: Peers,
    /// What people asked for.
    pub operations: Operations,
    /// Where primaries without a store ask, and are answered.
    pub failsafe: FailsafeLine,
    /// The mesh, where the agent brought its interface up.
    pub mesh: Option<Knowledge>,
    /// What is wrong here.
    pub troubles: Arc<Troubles>,
    /// Where this server's clients find the primary and the standbys.
    pub proxy: Arc<ProxyLine>,
    /// What a recovery of the store needs.
    pub recovery: RecoveryLine,
}

impl Agent {
    fn record(&self) -> Arc<ClusterRecord> {
        self.store.watch().borrow().view.clone()
    }

    fn state(&self) -> Option<State> {
        self.turn.borrow().as_ref().map(|turn| turn.explanation.state)
    }

    /// The server that takes writes, by its own word.
    async fn writable(&self) -> Option<String> {
        let peers = self.peers.look().await;
        let servers = self.cluster_status(&peers).servers;
        servers.into_iter().find(|server| server.role == sb_api::Role::Primary).map(|server| server.name)
    }

    /// Whether the lease in force is this server's, and holds.
    fn holds(&self, record: &ClusterRecord) -> bool {
        record.holder() == Some(&self.me.name) && self.lease_holds()
    }

    /// Whether this server's lease holds at this moment, by its own clock: the guard's deadline lies ahead.
    fn lease_holds(&self) -> bool {
        let armed = self.guard.status().borrow().as_ref().and_then(|status| status.armed);
        armed.is_some_and(|armed| armed.fence_at > crate::guard::BootNanos::now())
    }
}

#[async_trait]
impl AgentView for Agent {
    fn health(&self) -> Health {
        let ttl = Duration::from_millis(self.record().timings.ttl_ms);
        let turned = self.turn.borrow().as_ref().map(|turn| boottime::now().since(turn.at));
        let alive = if turned.is_some_and(|ago| ago < ttl) { Alive::Yes } else { Alive::No };
        let role = self.seen.borrow().status.as_ref().map(|status| status.role);
        let serves = match (role, self.state()) {
            (Some(sb_pgrepl::Role::Primary), Some(State::Leading)) if self.lease_holds() => Serves::Writes,
            (Some(sb_pgrepl::Role::Standby), _) => Serves::Reads,
            (Some(sb_pgrepl::Role::Primary) | None, _) => Serves::Nothing,
        };
        let record = self.record();
        Health {
            alive,
            postgres: if role.is_some() { Postgres::Runs } else { Postgres::Down },
            serves,
            lease: if self.holds(&record) { Lease::Held } else { Lease::Elsewhere },
            follows: self.follows(),
            promise: if record.lease.is_some() && record.sync.degraded { Kept::No } else { Kept::Yes },
            failsafe: self.failsafe_part(),
            site: Some(self.me.site.clone()),
        }
    }

    async fn server(&self) -> ServerStatus {
        self.own_status()
    }

    async fn status(&self) -> Status {
        let peers = self.peers.look().await;
        self.cluster_status(&peers)
    }

    async fn events(&self, since: u64, wait: Duration) -> Vec<Event> {
        let mut newest = self.journal.newest();
        let found = self.journal.since(since, EVENTS_PER_ANSWER_MAX);
        if !found.is_empty() || wait.is_zero() {
            return found;
        }
        let _ = tokio::time::timeout(wait, newest.wait_for(|id| *id > since)).await;
        self.journal.since(since, EVENTS_PER_ANSWER_MAX)
    }

    async fn mesh(&self) -> Mesh {
        let peers = self.peers.look().await;
        self.mesh_of_all(&peers)
    }

    async fn history(&self) -> Vec<HistoryEntry> {
        self.handovers()
    }

    async fn explain_cluster(&self, query: ExplainQuery) -> Refused<Explanation> {
        self.cluster_explanation(query).await
    }

    async fn explain(&self, subject: &str) -> Refused<Explanation> {
        self.explanation(subject).await
    }

    fn judged(&self, query: ExplainQuery) -> Option<Judgement> {
        self.journal.judgement(query.term)
    }

    async fn switchover(&self, by: &Caller, request: SwitchoverRequest) -> Refused<Operation> {
        self.request_switchover(by, request).await
    }

    async fn failover(&self, by: &Caller, request: FailoverRequest) -> Refused<Operation> {
        self.request_failover(by, request).await
    }

    async fn durability(&self, by: &Caller, request: DurabilityRequest) -> Refused<Operation> {
        self.request_durability(by, request).await
    }

    async fn pause(&self, by: &Caller, request: PauseRequest) -> Refused<Operation> {
        self.request_pause(by, request).await
    }

    async fn resume(&self, by: &Caller, request: ResumeRequest) -> Refused<Operation> {
        self.request_resume(by, request).await
    }

    async fn recovery_plan(&self) -> Refused<RecoveryPlan> {
        self.plan_recovery().await
    }

    async fn recover(&self, by: &Caller, request: RecoverRequest) -> Refused<Operation> {
        self.request_recover(by, request).await
    }

    async fn rejoin(&self, by: &Caller, request: RejoinRequest) -> Refused<Operation> {
        self.request_rejoin(by, request).await
    }

    async fn rotate_key(&self, by: &Caller, request: RotateKeyRequest) -> Refused<Operation> {
        self.request_rotation(by, request).await
    }

    async fn rotate_preshared(&self, by: &Caller, request: RotatePresharedRequest) -> Refused<Operation> {
        self.request_preshared(by, request).await
    }

    async fn accept_key(&self, by: &Caller, request: AcceptKeyRequest) -> Refused<Operation> {
        self.request_acceptance(by, request).await
    }

    async fn operations(&self) -> Vec<Operation> {
        let writable = self.writable().await;
        self.operations.all(&self.record(), writable.as_deref())
    }

    async fn operation(&self, id: &str) -> Option<Operation> {
        let writable = self.writable().await;
        self.operations.one(id, &self.record(), writable.as_deref())
    }

    async fn join(&self, peer: &ServerName, request: JoinRequest) -> Refused<JoinAnswer> {
        membership::admit(&self.store, &self.topology, &self.identity.cluster_id, peer, request).await
    }

    async fn peer_status(&self, _peer: &ServerName) -> PeerStatus {
        let applied = self.store.watch().borrow().index;
        PeerStatus {
            cluster_id: self.identity.cluster_id.clone(),
            server: self.own_status(),
            applied_index: Some(applied),
            store_leader: self.store.health().borrow().leader.as_ref().and_then(|l| l.name.clone()),
            term: self.handovers().pop(),
            position: self.own_position().as_ref().map(to_wire),
            store: (applied > 0).then(|| self.store_word()),
            mesh: self.mesh.as_ref().and_then(Knowledge::status),
        }
    }

    fn mesh_word(&self) -> MeshWord {
        self.mesh.as_ref().map(Knowledge::word).unwrap_or_default()
    }

    async fn preshared(&self, peer: &ServerName, word: PresharedWord) -> Refused<PresharedAnswer> {
        self.follow_preshared(peer, word).await
    }

    async fn begin_preshared(
        &self,
        peer: &ServerName,
        request: PresharedBegin,
    ) -> Refused<Vec<MeshPreshared>> {
        self.begin_preshared_for(peer, request).await
    }

    async fn serving(&self, query: ServingQuery) -> ServingWord {
        self.serving_word(&query).await
    }

    async fn failsafe(&self, peer: &ServerName, request: FailsafeRequest) -> FailsafeReply {
        self.failsafe.hear(peer, request).await
    }
}
