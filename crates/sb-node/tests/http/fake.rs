//! An agent whose answers the test decides, and a place with the bundles of a cluster.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use sb_api::{
    AcceptKeyRequest, ClusterStatus, Durability, DurabilityRequest, Event, ExplainQuery, Explanation,
    FailoverRequest, FailsafeReason, FailsafeReply, FailsafeRequest, Gate, HistoryEntry, JoinAnswer,
    JoinRequest, Judgement, Level, Mesh, MeshPreshared, MeshSight, MeshWord, Operation, OperationState,
    PauseRequest, PeerStatus, PresharedAnswer, PresharedBegin, PresharedWord, Problem, RecoverRequest,
    RecoveryPlan, Refused, RejoinRequest, ResumeRequest, RotateKeyRequest, RotatePresharedRequest,
    SCHEMA_VERSION, ServerStatus, Status, StoreStatus, SwitchoverRequest, Verdict,
};
use sb_client::bundle::{Cluster, ClusterServer, make_bundles};
use sb_node::http::{AgentView, Caller, Health};
use sb_topology::ServerName;
use tempfile::TempDir;

/// An agent of `ravena-1` that has one running switchover and one event, and refuses to fail over.
#[derive(Default)]
pub struct FakeAgent {
    /// What health checks see.
    pub health: Mutex<Health>,
    /// Who asked for what.
    pub asked: Mutex<Vec<String>>,
}

impl FakeAgent {
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn note(&self, by: impl std::fmt::Display, what: impl std::fmt::Debug) {
        self.asked.lock().unwrap().push(format!("{by}: {what:?}"));
    }
}

pub fn operation(state: OperationState) -> Operation {
    Operation {
        id: "op-7".into(),
        kind: "switchover".into(),
        state,
        by: "test".into(),
        started_at: "2026-01-02T03:04:05Z".into(),
        steps: vec![],
        result: None,
        problem: None,
    }
}

#[async_trait]
impl AgentView for FakeAgent {
    fn health(&self) -> Health {
        self.health.lock().unwrap().clone()
    }

    async fn server(&self) -> ServerStatus {
        ServerStatus::unknown("ravena-1", "ravena")
    }

    async fn status(&self) -> Status {
        let cluster = ClusterStatus {
            id: "id".into(),
            name: "show-build".into(),
            durability: Durability::Async,
            term: Some(3),
            primary: Some("ravena-1".into()),
            verdict: Verdict { level: Level::Ok, sentence: "Fine.".into() },
            paused: None,
            degraded: None,
            store: StoreStatus {
                leader: None,
                voters: vec![],
                learners: vec![],
                majority: None,
                kind: sb_api::StoreKind::Raft,
                endpoints: vec![],
            },
            topology_generation: None,
            last_handover: None,
            manual_failover: None,
        };
        Status {
            schema_version: SCHEMA_VERSION,
            observer: "ravena-1".into(),
            at: "2026-01-02T03:04:05Z".into(),
            cluster,
            sites: vec![],
            servers: vec![self.server().await],
        }
    }

    async fn events(&self, since: u64, wait: Duration) -> Vec<Event> {
        self.note("events", (since, wait));
        let event = Event {
            id: 1,
            at: "2026-01-02T03:04:05Z".into(),
            server: "ravena-1".into(),
            kind: "lease.acquired".into(),
            term: Some(3),
            message: "`ravena-1` holds the lease".into(),
            detail: None,
        };
        if since < 1 { vec![event] } else { vec![] }
    }

    async fn mesh(&self) -> Mesh {
        Mesh { observer: "ravena-1".into(), servers: vec![] }
    }

    async fn history(&self) -> Vec<HistoryEntry> {
        vec![]
    }

    async fn explain_cluster(&self, query: ExplainQuery) -> Refused<Explanation> {
        let message = format!("asked for {:?}", query.term);
        Ok(Explanation { subject: "cluster".into(), message, ..Explanation::default() })
    }

    async fn explain(&self, subject: &str) -> Refused<Explanation> {
        let message = "It is as it is.".into();
        Ok(Explanation { subject: subject.into(), message, ..Explanation::default() })
    }

    fn judged(&self, query: ExplainQuery) -> Option<Judgement> {
        let term = query.term.filter(|term| *term == 8)?;
        Some(Judgement {
            term,
            holder: "ravena-1".into(),
            renewal: 40,
            by: "burlington-1".into(),
            at: "2026-01-02T03:04:05Z".into(),
            winner: None,
            verdict: "nobody takes over".into(),
            candidates: vec![],
        })
    }

    async fn switchover(&self, by: &Caller, request: SwitchoverRequest) -> Refused<Operation> {
        let state = if request.dry_run { OperationState::Planned } else { OperationState::Running };
        self.note(by, request);
        Ok(operation(state))
    }

    async fn failover(&self, by: &Caller, request: FailoverRequest) -> Refused<Operation> {
        self.note(by, request);
        let problem = Problem::refused("failover.may_lose_commits", "cannot promote `tucson-1`")
            .detail("It lacks 48 MiB.")
            .hint("Promote `burlington-1`.")
            .gates(vec![Gate::failed("lag", "48 MiB", "1 MiB")]);
        Err(Box::new(problem))
    }

    async fn durability(&self, by: &Caller, request: DurabilityRequest) -> Refused<Operation> {
        self.note(by, request);
        Ok(operation(OperationState::Done))
    }

    async fn recovery_plan(&self) -> Refused<RecoveryPlan> {
        Err(Box::new(Problem::refused("recover.etcd", "the store is etcd, which has a recovery of its own")))
    }

    async fn recover(&self, by: &Caller, request: RecoverRequest) -> Refused<Operation> {
        self.note(by, request);
        Ok(operation(OperationState::Running))
    }

    async fn rejoin(&self, by: &Caller, request: RejoinRequest) -> Refused<Operation> {
        self.note(by, request);
        Ok(operation(OperationState::Done))
    }

    async fn pause(&self, by: &Caller, request: PauseRequest) -> Refused<Operation> {
        self.note(by, request);
        Ok(operation(OperationState::Done))
    }

    async fn resume(&self, by: &Caller, request: ResumeRequest) -> Refused<Operation> {
        self.note(by, request);
        Ok(operation(OperationState::Done))
    }

    async fn rotate_key(&self, by: &Caller, request: RotateKeyRequest) -> Refused<Operation> {
        self.note(by, request);
        Ok(operation(OperationState::Running))
    }

    async fn rotate_preshared(&self, by: &Caller, request: RotatePresharedRequest) -> Refused<Operation> {
        self.note(by, request);
        Ok(operation(OperationState::Running))
    }

    async fn accept_key(&self, by: &Caller, request: AcceptKeyRequest) -> Refused<Operation> {
        self.note(by, request);
        Ok(operation(OperationState::Done))
    }

    async fn operations(&self) -> Vec<Operation> {
        vec![operation(OperationState::Running)]
    }

    async fn operation(&self, id: &str) -> Option<Operation> {
        (id == "op-7").then(|| operation(OperationState::Done))
    }

    async fn join(&self, peer: &ServerName, request: JoinRequest) -> Refused<JoinAnswer> {
        self.note(peer, request);
        Ok(JoinAnswer::Elsewhere { leader: "ravena-2".into(), address: None })
    }

    async fn preshared(&self, peer: &ServerName, word: PresharedWord) -> Refused<PresharedAnswer> {
        self.note(peer, &word);
        Ok(PresharedAnswer { revision: word.revision, kept: word.kept, next: None })
    }

    async fn begin_preshared(
        &self,
        peer: &ServerName,
        request: PresharedBegin,
    ) -> Refused<Vec<MeshPreshared>> {
        self.note(peer, request);
        Ok(vec![])
    }

    async fn failsafe(&self, _: &ServerName, _: FailsafeRequest) -> FailsafeReply {
        FailsafeReply::No { reason: FailsafeReason::Unknowing }
    }

    async fn serving(&self, query: sb_api::ServingQuery) -> sb_api::ServingWord {
        self.note("serving", (query.seen, query.wait_ms));
        sb_api::ServingWord::default()
    }

    fn mesh_word(&self) -> MeshWord {
        let sights = vec![MeshSight { peer: "tucson-1".into(), up: true, for_ms: 7_000 }];
        MeshWord { sights, ..MeshWord::default() }
    }

    async fn peer_status(&self, _: &ServerName) -> PeerStatus {
        PeerStatus {
            mesh: None,
            cluster_id: "id".into(),
            server: self.server().await,
            applied_index: Some(9),
            store_leader: None,
            term: None,
            position: None,
            store: None,
        }
    }
}

/// The bundles of `ravena-1` and `tucson-1`, for as long as it lives.
pub struct Bundles {
    _place: TempDir,
    out: PathBuf,
}

impl Bundles {
    pub fn make() -> Self {
        let place = TempDir::new().unwrap();
        let (config, out) = (place.path().join("config"), place.path().join("out"));
        std::fs::create_dir(&config).unwrap();
        std::fs::write(config.join("sites.json"), "{}").unwrap();
        let server = |name: &str, site: &str| ClusterServer {
            name: name.parse().unwrap(),
            site: site.parse().unwrap(),
            addresses: vec!["127.0.0.1".parse().unwrap()],
        };
        let cluster = Cluster {
            name: "show-build".into(),
            servers: vec![server("ravena-1", "ravena"), server("tucson-1", "tucson")],
            bootstrap: "ravena-1".parse().unwrap(),
            owner_password: None,
        };
        make_bundles(&cluster, &config, &out).unwrap();
        Self { _place: place, out }
    }

    pub fn tls(&self, server: &str) -> PathBuf {
        self.out.join(server).join("state/tls")
    }

    pub fn operator(&self) -> &Path {
        &self.out
    }
}

/// An agent with everything in order.
pub fn agent() -> Arc<FakeAgent> {
    Arc::new(FakeAgent::default())
}
