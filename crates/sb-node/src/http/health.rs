use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::any;

use crate::http::AgentView;

/// What health checks need, from memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// The decision loop ran within the lease.
    pub alive: Alive,
    /// PostgreSQL answers.
    pub postgres: Postgres,
    /// What clients may do here.
    pub serves: Serves,
}

/// Whether the decision loop runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Alive {
    /// It ran within the lease.
    Yes,
    /// It did not.
    #[default]
    No,
}

/// Whether PostgreSQL answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Postgres {
    /// It does.
    Runs,
    /// It does not, or nobody knows.
    #[default]
    Down,
}

/// What clients may do on this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Serves {
    /// Read and write: it holds the lease at this moment and PostgreSQL accepts writes.
    Writes,
    /// Read: it is a running standby.
    Reads,
    /// Nothing.
    #[default]
    Nothing,
}

/// Health checks for a port of their own, in the paths that HAProxy configurations written for Patroni use. Any
/// method; the status decides. Nobody has to say who they are.
pub fn health_router(view: Arc<dyn AgentView>) -> Router {
    let root = Router::new().route("/", any(primary)).with_state(view.clone());
    root.merge(health_checks(view))
}

/// The same without `/`, which on the API's port is a page for people.
pub(super) fn health_checks(view: Arc<dyn AgentView>) -> Router {
    Router::new()
        .route("/liveness", any(liveness))
        .route("/health", any(health))
        .route("/primary", any(primary))
        .route("/master", any(primary))
        .route("/read-write", any(primary))
        .route("/replica", any(replica))
        .route("/read-only", any(read_only))
        .with_state(view)
}

async fn liveness(State(view): State<Arc<dyn AgentView>>) -> StatusCode {
    ok_when(view.health().alive == Alive::Yes)
}

async fn health(State(view): State<Arc<dyn AgentView>>) -> StatusCode {
    ok_when(view.health().postgres == Postgres::Runs)
}

async fn primary(State(view): State<Arc<dyn AgentView>>) -> StatusCode {
    ok_when(view.health().serves == Serves::Writes)
}

async fn replica(State(view): State<Arc<dyn AgentView>>) -> StatusCode {
    ok_when(view.health().serves == Serves::Reads)
}

async fn read_only(State(view): State<Arc<dyn AgentView>>) -> StatusCode {
    ok_when(view.health().serves != Serves::Nothing)
}

const fn ok_when(condition: bool) -> StatusCode {
    if condition { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
