use std::time::Duration;

use async_trait::async_trait;
use sb_api::{
    AcceptKeyRequest, DurabilityRequest, Event, ExplainQuery, Explanation, FailoverRequest, FailsafeReply,
    FailsafeRequest, HistoryEntry, JoinAnswer, JoinRequest, Judgement, Mesh, MeshPreshared, MeshWord,
    Operation, PauseRequest, PeerStatus, PresharedAnswer, PresharedBegin, PresharedWord, RecoverRequest,
    RecoveryPlan, Refused, RejoinRequest, ResumeRequest, RotateKeyRequest, RotatePresharedRequest,
    ServerStatus, ServingQuery, ServingWord, Status, SwitchoverRequest,
};
use sb_topology::ServerName;

use crate::http::{Caller, Health};

/// What the router needs of an agent.
///
/// # To ensure correctness
///
/// * [`AgentView::health`], [`AgentView::server`] and [`AgentView::status`] answer from memory: they wait for no
///   disk, no PostgreSQL and no peer, so that they answer while these hang.
/// * [`AgentView::health`] says `primary` only while the lease holds by this server's own clock at the moment of
///   the call.
/// * A request with `dry_run` goes through the same gates as one without, and changes nothing.
/// * A request that changes something returns once the operation is journalled, not when it has ended. The same
///   holds after the agent's restart: [`AgentView::operation`] knows it.
#[async_trait]
pub trait AgentView: Send + Sync + 'static {
    /// What health checks need.
    fn health(&self) -> Health;

    /// This server alone.
    async fn server(&self) -> ServerStatus;

    /// The cluster as this server sees it.
    async fn status(&self) -> Status;

    /// Events of the journal with an id above `since`, oldest first, at most
    /// [`sb_api::EVENTS_PER_ANSWER_MAX`]. When there is none, waits up to `wait` for one; then none.
    async fn events(&self, since: u64, wait: Duration) -> Vec<Event>;

    /// The mesh as the servers see it.
    async fn mesh(&self) -> Mesh;

    /// The changes of primary, oldest first.
    async fn history(&self) -> Vec<HistoryEntry>;

    /// Why the cluster is as it is, who would take over now, and how a past succession was judged.
    async fn explain_cluster(&self, query: ExplainQuery) -> Refused<Explanation>;

    /// Why a server, an operation or a code is as it is.
    async fn explain(&self, subject: &str) -> Refused<Explanation>;

    /// How this server itself judged a succession, from memory.
    fn judged(&self, query: ExplainQuery) -> Option<Judgement>;

    /// Move the primary on purpose.
    async fn switchover(&self, by: &Caller, request: SwitchoverRequest) -> Refused<Operation>;

    /// Promote a server although the primary cannot hand over.
    async fn failover(&self, by: &Caller, request: FailoverRequest) -> Refused<Operation>;

    /// Change what a commit waits for.
    async fn durability(&self, by: &Caller, request: DurabilityRequest) -> Refused<Operation>;

    /// Hold back automatic failover.
    async fn pause(&self, by: &Caller, request: PauseRequest) -> Refused<Operation>;

    /// End a pause.
    async fn resume(&self, by: &Caller, request: ResumeRequest) -> Refused<Operation>;

    /// What going on without the majority of the store would mean.
    async fn recovery_plan(&self) -> Refused<RecoveryPlan>;

    /// Go on with this server although the majority of the store is lost for good.
    async fn recover(&self, by: &Caller, request: RecoverRequest) -> Refused<Operation>;

    /// Let a server back in that a recovery has given up.
    async fn rejoin(&self, by: &Caller, request: RejoinRequest) -> Refused<Operation>;

    /// Replace this server's own WireGuard key, or end that before the interface has gone over.
    async fn rotate_key(&self, by: &Caller, request: RotateKeyRequest) -> Refused<Operation>;

    /// Replace the preshared keys of pairs of servers.
    async fn rotate_preshared(&self, by: &Caller, request: RotatePresharedRequest) -> Refused<Operation>;

    /// Have all know a server that is not heard by another WireGuard key.
    async fn accept_key(&self, by: &Caller, request: AcceptKeyRequest) -> Refused<Operation>;

    /// The operations that are remembered, oldest first.
    async fn operations(&self) -> Vec<Operation>;

    /// One operation, if it is remembered.
    async fn operation(&self, id: &str) -> Option<Operation>;

    /// A server of the cluster asks to be taken into the store; its certificate has been checked.
    async fn join(&self, peer: &ServerName, request: JoinRequest) -> Refused<JoinAnswer>;

    /// What this server tells a peer about itself.
    async fn peer_status(&self, peer: &ServerName) -> PeerStatus;

    /// What this server tells a peer about the network between them, from memory.
    fn mesh_word(&self) -> MeshWord;

    /// Follow what `peer` says of the preshared key that it shares with this server; the answer is on disk. Refused unless
    /// `peer` makes the keys of that pair.
    async fn preshared(&self, peer: &ServerName, word: PresharedWord) -> Refused<PresharedAnswer>;

    /// Begin to replace preshared keys that this server makes, for `peer`.
    async fn begin_preshared(
        &self,
        peer: &ServerName,
        request: PresharedBegin,
    ) -> Refused<Vec<MeshPreshared>>;

    /// What clients may do here; waits for another word than the one seen.
    async fn serving(&self, query: ServingQuery) -> ServingWord;

    /// Whether this server promises `peer`, which goes on without the store, not to take over.
    async fn failsafe(&self, peer: &ServerName, request: FailsafeRequest) -> FailsafeReply;
}
