//! Health checks, drop-in for HAProxy configurations written for Patroni: any method, also HTTP/1.0 without a Host
//! header; the status decides. A [`Question`] is judged against the [`Health`] of this server, from memory alone.
//!
//! What differs from Patroni, on purpose: HEAD and OPTIONS follow GET everywhere; a path that is not listed is 404; a
//! query that cannot be read is 400, never "no limit"; a lag that is not known is beyond every limit.

mod agent_check;
mod question;

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{any, get};
use axum::{Json, Router};
use sb_api::{FailsafePart, HistoryEntry, Status};
use sb_topology::SiteName;
use serde::Serialize;

use crate::http::AgentView;
use crate::http::problem::ProblemAnswer;
use crate::http::router::Asked;
pub use agent_check::AgentCheckListener;
use question::{Limits, Pairs, Question};

/// What health checks need, from memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// The decision loop ran within the lease.
    pub alive: Alive,
    /// PostgreSQL answers.
    pub postgres: Postgres,
    /// What clients may do here.
    pub serves: Serves,
    /// Whether it holds the lease at this moment, by its own clock.
    pub lease: Lease,
    /// How it follows the primary; nothing on a primary, and on a standby that follows nobody at present.
    pub follows: Option<Follows>,
    /// Whether the cluster's durability is what was promised, as far as this server knows.
    pub promise: Kept,
    /// Its part while a primary goes on without the store.
    pub failsafe: Option<FailsafePart>,
    /// Where it stands.
    pub site: Option<SiteName>,
}

/// How a standby follows the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Follows {
    /// Whether commits wait for it.
    pub waited_for: WaitedFor,
    /// Bytes of WAL that it has not received, against the primary's last known position; unknown when either is.
    pub write_lag_bytes: Option<u64>,
    /// Bytes of WAL that queries on it cannot see yet.
    pub apply_lag_bytes: Option<u64>,
}

/// Whether commits wait for a standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitedFor {
    /// It is one of those of which a number must have a commit.
    Yes,
    /// They do not, as nobody's while the durability is `async`.
    No,
}

/// Whether this server holds the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lease {
    /// It does, by its own clock at this moment.
    Held,
    /// It does not.
    #[default]
    Elsewhere,
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

/// The answer's body, for people and for what reads more than the status. The names are those of Patroni's answers
/// where it has one.
#[derive(Debug, Serialize)]
struct Body {
    state: &'static str,
    role: &'static str,
    degraded: bool,
    failsafe_mode_is_active: bool,
}

type View = State<Arc<dyn AgentView>>;

/// Health checks for a port of their own, and the cluster as Patroni's `/cluster` shows it. Nobody has to say who they
/// are.
pub fn health_router(view: Arc<dyn AgentView>) -> Router {
    let cluster = Router::new().route("/cluster", get(cluster)).route("/history", get(history));
    let root = Question::Primary.at("/", cluster).with_state(view.clone());
    root.merge(health_checks(view))
}

/// The same without what is on the API's port a page or a call for those who say who they are.
pub(in crate::http) fn health_checks(view: Arc<dyn AgentView>) -> Router {
    let paths = question::PATHS.iter();
    paths.fold(Router::new(), |router, (path, question)| question.at(path, router)).with_state(view)
}

impl Question {
    fn at(self, path: &str, router: Router<Arc<dyn AgentView>>) -> Router<Arc<dyn AgentView>> {
        let judge = async move |State(view): View, Asked(pairs): Asked<Pairs>| {
            let limits = Limits::read(pairs)?;
            Ok::<_, ProblemAnswer>(answer(&view.health(), self, &limits))
        };
        router.route(path, any(judge))
    }
}

fn answer(health: &Health, question: Question, limits: &Limits) -> (StatusCode, Json<Body>) {
    let good = question.holds(health, limits);
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
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

/// The cluster in the form of Patroni's answer.
#[derive(Debug, Serialize)]
struct Cluster {
    scope: String,
    members: Vec<Member>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pause: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Member {
    name: String,
    role: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag: Option<u64>,
    tags: Tags,
}

#[derive(Debug, Serialize)]
struct Tags {
    site: String,
}

async fn cluster(State(view): View) -> Json<Cluster> {
    Json(Cluster::of(view.status().await))
}

async fn history(State(view): View) -> Json<Vec<HistoryEntry>> {
    Json(view.history().await)
}

impl Cluster {
    fn of(status: Status) -> Self {
        let members = status.servers.into_iter().map(|server| Member {
            role: match (server.role, server.sync) {
                (sb_api::Role::Primary, _) => "leader",
                (_, Some(sb_api::SyncState::Sync)) => "sync_standby",
                (_, Some(sb_api::SyncState::Quorum)) => "quorum_standby",
                _ => "replica",
            },
            state: match (server.role, &server.upstream) {
                (sb_api::Role::Primary, _) => "running",
                (sb_api::Role::Standby, Some(_)) => "streaming",
                (sb_api::Role::Standby, None) => "running",
                (sb_api::Role::Promoting | sb_api::Role::Cloning, _) => "starting",
                _ => "stopped",
            },
            timeline: server.timeline,
            lag: server.lag_bytes.filter(|_| server.role != sb_api::Role::Primary),
            tags: Tags { site: server.site },
            name: server.name,
        });
        Self {
            members: members.collect(),
            pause: status.cluster.paused.map(|_| true),
            scope: status.cluster.name,
        }
    }
}
