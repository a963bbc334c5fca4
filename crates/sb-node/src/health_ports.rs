//! The ports that load balancers ask. They are a service beside the database: one that cannot be had is told and tried
//! again, and keeps no agent from starting.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::http::{AgentCheckListener, HealthListener, ListenError, health_router};
use crate::journal::Entry;
use crate::postgres::chain;
use crate::troubles::{Change, Topic};
use crate::view::Agent;

/// Health checks of load balancers.
pub const HEALTH_PORT: u16 = 8008;

/// HAProxy's agent check.
pub const AGENT_CHECK_PORT: u16 = 8009;

/// After a port could not be had.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Answers health checks until `stop`.
pub async fn answer_checks(agent: Arc<Agent>, stop: CancellationToken) {
    let address = SocketAddr::new(agent.me.mesh_address, HEALTH_PORT);
    let bind = || HealthListener::bind(address);
    if let Some(listener) = had(&agent, Topic::HealthPort, "health checks", bind, &stop).await {
        listener.serve(health_router(agent), stop).await;
    }
}

/// Answers HAProxy's agent check until `stop`.
pub async fn answer_agent_check(agent: Arc<Agent>, stop: CancellationToken) {
    let address = SocketAddr::new(agent.me.mesh_address, AGENT_CHECK_PORT);
    let bind = || AgentCheckListener::bind(address);
    if let Some(listener) = had(&agent, Topic::AgentCheckPort, "HAProxy's agent check", bind, &stop).await {
        listener.serve(agent, stop).await;
    }
}

/// Tries until the port is had; nothing when the agent stops before.
async fn had<L, F>(
    agent: &Agent,
    topic: Topic,
    service: &str,
    bind: impl Fn() -> F,
    stop: &CancellationToken,
) -> Option<L>
where
    F: Future<Output = Result<L, ListenError>>,
{
    loop {
        let failure = match bind().await {
            Ok(listener) => {
                if agent.troubles.set(topic, None) == Change::Ended {
                    let message = format!("{service} are answered");
                    agent.journal.record(Entry::new("port.open", message));
                }
                return Some(listener);
            }
            Err(failure) => failure,
        };
        let sentence = format!("{service} cannot be answered: {}", chain(&failure));
        if agent.troubles.set(topic, Some(sentence.clone())) == Change::Began {
            agent.journal.record(Entry::new("port.refused", sentence));
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN_AFTER) => {}
            () = stop.cancelled() => return None,
        }
    }
}
