//! Calls to one agent.

mod call;
mod error;
mod target;

use std::time::Duration;

use hyper::Method;
use sb_api::{
    AcceptKeyRequest, DurabilityRequest, Event, EventsQuery, ExplainQuery, Explanation, FailoverRequest,
    FailsafeReply, FailsafeRequest, HistoryEntry, JoinAnswer, JoinRequest, Judgement, Mesh, MeshPreshared,
    MeshWord, Operation, PauseRequest, PeerStatus, PresharedAnswer, PresharedBegin, PresharedWord,
    RecoverRequest, RecoveryPlan, RejoinRequest, ResumeRequest, RotateKeyRequest, RotatePresharedRequest,
    ServerStatus, ServingQuery, ServingWord, Status, SwitchoverRequest,
};

pub use call::ANSWER_BYTES_MAX;
pub use error::CallError;
pub use target::Target;

/// Makes calls to one agent. Each call is a connection of its own, so a client never holds a dead one.
#[derive(Debug, Clone)]
pub struct Client {
    target: Target,
    deadline: Duration,
}

impl Client {
    /// Longest time one call takes when nobody says otherwise.
    pub const DEADLINE_DEFAULT: Duration = Duration::from_secs(5);

    /// Time between two looks at an operation that is under way.
    pub const OPERATION_POLL: Duration = Duration::from_millis(200);

    /// A client of the agent at `target`.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self { target, deadline: Self::DEADLINE_DEFAULT }
    }

    /// The same client with another deadline per call, which covers connecting, sending and reading.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Where it calls.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The cluster as this agent sees it.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn status(&self) -> Result<Status, CallError> {
        self.get("/v1/status").await
    }

    /// The server of this agent alone, from its memory.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn server(&self) -> Result<ServerStatus, CallError> {
        self.get("/v1/server").await
    }

    /// Events after `query.since`, oldest first; waits up to `query.wait` seconds for one, besides the deadline.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn events(&self, query: EventsQuery) -> Result<Vec<Event>, CallError> {
        let path = format!("/v1/events?since={}&wait={}", query.since, query.wait);
        let deadline = self.deadline + Duration::from_secs(query.wait);
        self.call(Method::GET, &path, None::<&()>, deadline).await
    }

    /// The mesh as the servers see it.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn mesh(&self) -> Result<Mesh, CallError> {
        self.get("/v1/mesh").await
    }

    /// The changes of primary, oldest first.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn history(&self) -> Result<Vec<HistoryEntry>, CallError> {
        self.get("/v1/history").await
    }

    /// Why the cluster, a server, an operation or a code is as it is.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn explain(&self, subject: Option<&str>) -> Result<Explanation, CallError> {
        match subject {
            None => self.get("/v1/explain").await,
            Some(subject) => self.get(&format!("/v1/explain/{}", call::path_segment(subject))).await,
        }
    }

    /// The cluster, and how the succession that began `query.term`, or the last one, was judged.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn explain_cluster(&self, query: ExplainQuery) -> Result<Explanation, CallError> {
        match query.term {
            None => self.get("/v1/explain").await,
            Some(term) => self.get(&format!("/v1/explain?term={term}")).await,
        }
    }

    /// Asks to move the primary on purpose. The operation goes on after this returns.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn switchover(&self, request: &SwitchoverRequest) -> Result<Operation, CallError> {
        self.post("/v1/switchover", request).await
    }

    /// Asks to promote a server although the primary cannot hand over. The operation goes on after this returns.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn failover(&self, request: &FailoverRequest) -> Result<Operation, CallError> {
        self.post("/v1/failover", request).await
    }

    /// Changes what a commit waits for. The operation goes on after this returns.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn durability(&self, request: &DurabilityRequest) -> Result<Operation, CallError> {
        self.post("/v1/durability", request).await
    }

    /// What going on without the majority of the store would mean.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn recovery_plan(&self) -> Result<RecoveryPlan, CallError> {
        self.get("/v1/recovery").await
    }

    /// Goes on with the asked server although the majority of the store is lost for good. The operation goes on after
    /// this returns, in the agent's next run.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn recover(&self, request: &RecoverRequest) -> Result<Operation, CallError> {
        self.post("/v1/recover", request).await
    }

    /// Lets a server back in that a recovery has given up.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn rejoin(&self, request: &RejoinRequest) -> Result<Operation, CallError> {
        self.post("/v1/rejoin", request).await
    }

    /// Holds back automatic failover for a while.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn pause(&self, request: &PauseRequest) -> Result<Operation, CallError> {
        self.post("/v1/pause", request).await
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn resume(&self, request: &ResumeRequest) -> Result<Operation, CallError> {
        self.post("/v1/resume", request).await
    }

    /// Replaces the WireGuard key of the server that is asked.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn rotate_key(&self, request: &RotateKeyRequest) -> Result<Operation, CallError> {
        self.post("/v1/mesh/rotate", request).await
    }

    /// Replaces the preshared keys of pairs of servers. The operation goes on after this returns.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn rotate_preshared(&self, request: &RotatePresharedRequest) -> Result<Operation, CallError> {
        self.post("/v1/mesh/preshared", request).await
    }

    /// Has all know a server that is not heard by another WireGuard key.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn accept_key(&self, request: &AcceptKeyRequest) -> Result<Operation, CallError> {
        self.post("/v1/mesh/accept", request).await
    }

    /// The operations that the agent remembers, oldest first.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn operations(&self) -> Result<Vec<Operation>, CallError> {
        self.get("/v1/operations").await
    }

    /// One operation.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn operation(&self, id: &str) -> Result<Operation, CallError> {
        self.get(&format!("/v1/operations/{}", call::path_segment(id))).await
    }

    /// Waits until an operation has ended, at most `limit`, and shows every picture of it to `seen`. An agent that
    /// does not answer for a moment (it may be the one that is being replaced) does not end the waiting.
    ///
    /// # Errors
    /// [`CallError::StillRunning`] when the limit has passed: the operation goes on. Otherwise as every call, for
    /// answers that waiting cannot mend.
    pub async fn wait(
        &self,
        operation: Operation,
        limit: Duration,
        mut seen: impl FnMut(&Operation),
    ) -> Result<Operation, CallError> {
        let end = tokio::time::Instant::now() + limit;
        let mut latest = operation;
        seen(&latest);
        while !latest.ended() {
            if tokio::time::Instant::now() >= end {
                return Err(CallError::StillRunning { id: latest.id, limit });
            }
            tokio::time::sleep(Self::OPERATION_POLL).await;
            match self.operation(&latest.id).await {
                Ok(operation) => latest = operation,
                Err(error) if error.may_pass() => {}
                Err(error) => return Err(error),
            }
            seen(&latest);
        }
        Ok(latest)
    }

    /// Asks a peer to take this server into the store.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn join(&self, request: &JoinRequest) -> Result<JoinAnswer, CallError> {
        self.post("/peer/v1/join", request).await
    }

    /// What a peer says about itself.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn peer_status(&self) -> Result<PeerStatus, CallError> {
        self.get("/peer/v1/status").await
    }

    /// What a peer says that clients may do on it. Waits for another word than the one seen, besides the deadline.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn serving(&self, query: &ServingQuery) -> Result<ServingWord, CallError> {
        let path = format!("/peer/v1/serving?seen={}&wait_ms={}", query.seen, query.wait_ms);
        let deadline = self.deadline + Duration::from_millis(query.wait_ms);
        self.call(Method::GET, &path, None::<&()>, deadline).await
    }

    /// What a peer says about the network between the servers.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn mesh_word(&self) -> Result<MeshWord, CallError> {
        self.get("/peer/v1/mesh").await
    }

    /// Tells the other server of a pair what this one, which makes the pair's preshared keys, has of it.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn preshared(&self, word: &PresharedWord) -> Result<PresharedAnswer, CallError> {
        self.post("/peer/v1/preshared", word).await
    }

    /// Asks a peer for new preshared keys of pairs whose keys it makes.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn begin_preshared(&self, request: &PresharedBegin) -> Result<Vec<MeshPreshared>, CallError> {
        self.post("/peer/v1/preshared/begin", request).await
    }

    /// How a peer judged the succession that began `query.term`, or the last one it judged.
    ///
    /// # Errors
    /// As every call: see [`CallError`].
    pub async fn judged(&self, query: ExplainQuery) -> Result<Option<Judgement>, CallError> {
        match query.term {
            None => self.get("/peer/v1/judged").await,
            Some(term) => self.get(&format!("/peer/v1/judged?term={term}")).await,
        }
    }

    /// Asks a peer to promise that it will not take over.
    ///
    /// # Errors
    /// As every call: see [`CallError`]. None of them is a promise.
    pub async fn failsafe(&self, request: &FailsafeRequest) -> Result<FailsafeReply, CallError> {
        self.post("/peer/v1/failsafe", request).await
    }
}
