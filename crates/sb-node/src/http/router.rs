use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use sb_api::{
    AcceptKeyRequest, DurabilityRequest, EVENTS_WAIT_SECONDS_MAX, Event, EventsQuery, ExplainQuery,
    Explanation, FailoverRequest, FailsafeReply, FailsafeRequest, HistoryEntry, JoinAnswer, JoinRequest,
    Judgement, Mesh, MeshPreshared, MeshWord, Operation, OperationState, PauseRequest, PeerStatus,
    PresharedAnswer, PresharedBegin, PresharedWord, Problem, RecoverRequest, RecoveryPlan, RejoinRequest,
    ResumeRequest, RotateKeyRequest, RotatePresharedRequest, ServerStatus, ServingQuery, ServingWord, Status,
    SwitchoverRequest,
};
use sb_client::state::Scope;
use serde::de::DeserializeOwned;

use crate::http::health::health_checks;
use crate::http::problem::ProblemAnswer;
use crate::http::{AgentView, Caller};

/// Largest body of a request, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

type View = State<Arc<dyn AgentView>>;
type Answer<T> = Result<Json<T>, ProblemAnswer>;

/// Every call of people, scripts and peers, and the health checks.
///
/// Who calls must be known already: the listeners of this module put a [`Caller`] into every request. A request
/// without one gets 401 wherever it asks for more than health.
pub fn router(view: Arc<dyn AgentView>) -> Router {
    let calls = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/server", get(server))
        .route("/v1/events", get(events))
        .route("/v1/mesh", get(mesh))
        .route("/v1/history", get(history))
        .route("/v1/explain", get(explain_cluster))
        .route("/v1/explain/{subject}", get(explain))
        .route("/v1/switchover", post(switchover))
        .route("/v1/failover", post(failover))
        .route("/v1/durability", post(durability))
        .route("/v1/recovery", get(recovery_plan))
        .route("/v1/recover", post(recover))
        .route("/v1/rejoin", post(rejoin))
        .route("/v1/pause", post(pause))
        .route("/v1/mesh/rotate", post(rotate_key))
        .route("/v1/mesh/preshared", post(rotate_preshared))
        .route("/v1/mesh/accept", post(accept_key))
        .route("/v1/resume", post(resume))
        .route("/v1/operations", get(operations))
        .route("/v1/operations/{id}", get(operation))
        .route("/peer/v1/join", post(join))
        .route("/peer/v1/status", get(peer_status))
        .route("/peer/v1/judged", get(judged))
        .route("/peer/v1/mesh", get(mesh_word))
        .route("/peer/v1/preshared", post(preshared))
        .route("/peer/v1/preshared/begin", post(begin_preshared))
        .route("/peer/v1/serving", get(serving))
        .route("/peer/v1/failsafe", post(failsafe))
        .method_not_allowed_fallback(wrong_method)
        .with_state(view.clone());
    calls.merge(health_checks(view)).fallback(not_found).layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

async fn status(caller: Caller, State(view): View) -> Answer<Status> {
    caller.require(Scope::Read)?;
    Ok(Json(view.status().await))
}

async fn server(caller: Caller, State(view): View) -> Answer<ServerStatus> {
    caller.require(Scope::Read)?;
    Ok(Json(view.server().await))
}

async fn events(caller: Caller, State(view): View, Asked(query): Asked<EventsQuery>) -> Answer<Vec<Event>> {
    caller.require(Scope::Read)?;
    let wait = Duration::from_secs(query.wait.min(EVENTS_WAIT_SECONDS_MAX));
    Ok(Json(view.events(query.since, wait).await))
}

async fn mesh(caller: Caller, State(view): View) -> Answer<Mesh> {
    caller.require(Scope::Read)?;
    Ok(Json(view.mesh().await))
}

async fn history(caller: Caller, State(view): View) -> Answer<Vec<HistoryEntry>> {
    caller.require(Scope::Read)?;
    Ok(Json(view.history().await))
}

async fn explain_cluster(
    caller: Caller,
    State(view): View,
    Asked(query): Asked<ExplainQuery>,
) -> Answer<Explanation> {
    caller.require(Scope::Read)?;
    Ok(Json(view.explain_cluster(query).await?))
}

async fn explain(caller: Caller, State(view): View, Path(subject): Path<String>) -> Answer<Explanation> {
    caller.require(Scope::Read)?;
    Ok(Json(view.explain(&subject).await?))
}

async fn switchover(
    caller: Caller,
    State(view): View,
    Body(request): Body<SwitchoverRequest>,
) -> Result<Started, ProblemAnswer> {
    caller.require(Scope::Operate)?;
    Ok(Started(view.switchover(&caller, request).await?))
}

async fn failover(
    caller: Caller,
    State(view): View,
    Body(request): Body<FailoverRequest>,
) -> Result<Started, ProblemAnswer> {
    caller.require(Scope::Admin)?;
    Ok(Started(view.failover(&caller, request).await?))
}

async fn durability(
    caller: Caller,
    State(view): View,
    Body(request): Body<DurabilityRequest>,
) -> Result<Started, ProblemAnswer> {
    // What is promised less may be lost.
    caller.require(Scope::Admin)?;
    Ok(Started(view.durability(&caller, request).await?))
}

async fn recovery_plan(caller: Caller, State(view): View) -> Answer<RecoveryPlan> {
    caller.require(Scope::Read)?;
    Ok(Json(view.recovery_plan().await?))
}

async fn recover(
    caller: Caller,
    State(view): View,
    Body(request): Body<RecoverRequest>,
) -> Result<Started, ProblemAnswer> {
    caller.require(Scope::Admin)?;
    Ok(Started(view.recover(&caller, request).await?))
}

async fn rejoin(
    caller: Caller,
    State(view): View,
    Body(request): Body<RejoinRequest>,
) -> Result<Started, ProblemAnswer> {
    caller.require(Scope::Admin)?;
    Ok(Started(view.rejoin(&caller, request).await?))
}

async fn pause(
    caller: Caller,
    State(view): View,
    Body(request): Body<PauseRequest>,
) -> Result<Started, ProblemAnswer> {
    caller.require(Scope::Operate)?;
    Ok(Started(view.pause(&caller, request).await?))
}

async fn resume(
    caller: Caller,
    State(view): View,
    Body(request): Body<ResumeRequest>,
) -> Result<Started, ProblemAnswer> {
    caller.require(Scope::Operate)?;
    Ok(Started(view.resume(&caller, request).await?))
}

async fn rotate_key(
    caller: Caller,
    State(view): View,
    Body(request): Body<RotateKeyRequest>,
) -> Result<Started, ProblemAnswer> {
    caller.require(Scope::Admin)?;
    Ok(Started(view.rotate_key(&caller, request).await?))
}

async fn rotate_preshared(
    caller: Caller,
    State(view): View,
    Body(request): Body<RotatePresharedRequest>,
) -> Result<Started, ProblemAnswer> {
    caller.require(Scope::Admin)?;
    Ok(Started(view.rotate_preshared(&caller, request).await?))
}

async fn accept_key(
    caller: Caller,
    State(view): View,
    Body(request): Body<AcceptKeyRequest>,
) -> Result<Started, ProblemAnswer> {
    caller.require(Scope::Admin)?;
    Ok(Started(view.accept_key(&caller, request).await?))
}

async fn operations(caller: Caller, State(view): View) -> Answer<Vec<Operation>> {
    caller.require(Scope::Read)?;
    Ok(Json(view.operations().await))
}

async fn operation(caller: Caller, State(view): View, Path(id): Path<String>) -> Answer<Operation> {
    caller.require(Scope::Read)?;
    let unknown = || {
        Problem::not_found("operation.unknown", format!("there is no operation `{id}`"))
            .hint("sb-cli ops lists those that are remembered.")
    };
    Ok(Json(view.operation(&id).await.ok_or_else(unknown)?))
}

async fn join(caller: Caller, State(view): View, Body(request): Body<JoinRequest>) -> Answer<JoinAnswer> {
    let peer = caller.require_peer()?;
    Ok(Json(view.join(peer, request).await?))
}

async fn peer_status(caller: Caller, State(view): View) -> Answer<PeerStatus> {
    let peer = caller.require_peer()?;
    Ok(Json(view.peer_status(peer).await))
}

async fn judged(
    caller: Caller,
    State(view): View,
    Asked(query): Asked<ExplainQuery>,
) -> Answer<Option<Judgement>> {
    caller.require_peer()?;
    Ok(Json(view.judged(query)))
}

async fn mesh_word(caller: Caller, State(view): View) -> Answer<MeshWord> {
    caller.require_peer()?;
    Ok(Json(view.mesh_word()))
}

async fn preshared(
    caller: Caller,
    State(view): View,
    Body(word): Body<PresharedWord>,
) -> Answer<PresharedAnswer> {
    let peer = caller.require_peer()?;
    Ok(Json(view.preshared(peer, word).await?))
}

async fn begin_preshared(
    caller: Caller,
    State(view): View,
    Body(request): Body<PresharedBegin>,
) -> Answer<Vec<MeshPreshared>> {
    let peer = caller.require_peer()?;
    Ok(Json(view.begin_preshared(peer, request).await?))
}

async fn serving(
    caller: Caller,
    State(view): View,
    Asked(query): Asked<ServingQuery>,
) -> Answer<ServingWord> {
    caller.require_peer()?;
    Ok(Json(view.serving(query).await))
}

async fn failsafe(
    caller: Caller,
    State(view): View,
    Body(request): Body<FailsafeRequest>,
) -> Answer<FailsafeReply> {
    let peer = caller.require_peer()?;
    Ok(Json(view.failsafe(peer, request).await))
}

async fn not_found(request: Request) -> ProblemAnswer {
    Problem::not_found("http.path", format!("there is nothing at `{}`", request.uri().path())).into()
}

async fn wrong_method(request: Request) -> ProblemAnswer {
    let title = format!("`{}` does not take {}", request.uri().path(), request.method());
    Problem::new(405, "http.method", title).into()
}

/// An operation that goes on: 202 and where to watch it; 200 when nothing more will happen.
struct Started(Operation);

impl IntoResponse for Started {
    fn into_response(self) -> Response {
        let location = format!("/v1/operations/{}", self.0.id);
        match self.0.state {
            OperationState::Running => {
                (StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(self.0)).into_response()
            }
            _ => Json(self.0).into_response(),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ProblemAnswer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let stranger = || {
            Problem::new(401, "access.unknown_caller", "the request carries no valid token")
                .hint("Send `Authorization: Bearer TOKEN`, or use sb-cli as root on a server.")
        };
        Ok(parts.extensions.get::<Caller>().cloned().ok_or_else(stranger)?)
    }
}

/// A JSON body, whose faults are problem documents too.
struct Body<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ProblemAnswer;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let unusable = |rejection: axum::extract::rejection::JsonRejection| {
            Problem::new(rejection.status().as_u16(), "http.body", "the body of the request cannot be used")
                .detail(rejection.body_text())
        };
        let Json(body) = Json::<T>::from_request(request, state).await.map_err(unusable)?;
        Ok(Self(body))
    }
}

/// The query of a request, whose faults are problem documents too.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = ProblemAnswer;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let unusable = |rejection: axum::extract::rejection::QueryRejection| {
            Problem::new(rejection.status().as_u16(), "http.query", "the query of the request cannot be used")
                .detail(rejection.body_text())
        };
        let Query(query) = Query::<T>::from_request_parts(parts, state).await.map_err(unusable)?;
        Ok(Self(query))
    }
}
