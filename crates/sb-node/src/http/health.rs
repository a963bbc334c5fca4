use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::any;
use axum::{Json, Router};
use sb_api::FailsafePart;
use serde::Serialize;

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
    /// Whether the cluster's durability is what was promised, as far as this server knows.
    pub promise: Kept,
    /// Its part while a primary goes on without the store.
    pub failsafe: Option<FailsafePart>,
}

/// Whether confirmed commits are where they were promised to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kept {
    /// They are.
    #[default]
    Yes,
    /// `sync` has fallen back: DEGRADED.
    No,
}

/// The answer's body, for people and for what reads more than the status. The names are those of Patroni's answers
/// where it has one.
#[derive(Debug, Serialize)]
struct Body {
    state: &'static str,
    role: &'static str,
    degraded: bool,
    failsafe_mode_is_active: bool,
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

type Checked = (StatusCode, Json<Body>);

async fn liveness(State(view): State<Arc<dyn AgentView>>) -> Checked {
    answer(view.health(), |health| health.alive == Alive::Yes)
}

async fn health(State(view): State<Arc<dyn AgentView>>) -> Checked {
    answer(view.health(), |health| health.postgres == Postgres::Runs)
}

async fn primary(State(view): State<Arc<dyn AgentView>>) -> Checked {
    answer(view.health(), |health| health.serves == Serves::Writes)
}

async fn replica(State(view): State<Arc<dyn AgentView>>) -> Checked {
    answer(view.health(), |health| health.serves == Serves::Reads)
}

async fn read_only(State(view): State<Arc<dyn AgentView>>) -> Checked {
    answer(view.health(), |health| health.serves != Serves::Nothing)
}

fn answer(health: Health, good: impl Fn(&Health) -> bool) -> Checked {
    let status = if good(&health) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = Body {
        state: match health.postgres {
            Postgres::Runs => "running",
            Postgres::Down => "stopped",
        },
        role: match health.serves {
            Serves::Writes => "primary",
            Serves::Reads => "replica",
            Serves::Nothing => "none",
        },
        degraded: health.promise == Kept::No,
        failsafe_mode_is_active: health.failsafe.is_some(),
    };
    (status, Json(body))
}
