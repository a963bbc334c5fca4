//! Asks the agents, through their Unix sockets: those work also when the network does not.

use std::time::Duration;

use sb_api::{Event, EventsQuery, HistoryEntry, Mesh, ServerStatus, Status, SwitchoverRequest};
use sb_client::{CallError, Client, Target};

use crate::host::Directories;
use crate::place::Place;

/// Longest wait for one answer. A frozen agent must not hold up the screen.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// Longest wait for an answer that is asked for once, on a busy machine.
const PATIENT_LIMIT: Duration = Duration::from_secs(10);

/// A client for every server's agent.
#[derive(Debug, Clone)]
pub struct Agents {
    /// By [`Place::index`].
    clients: Vec<Client>,
}

impl Agents {
    /// Clients for the machines with these directories, in the order of [`Place::servers`]; one that is no server never
    /// answers.
    #[must_use]
    pub fn new(directories: impl Iterator<Item = Directories>) -> Self {
        let client = |directories: Directories| {
            Client::new(Target::Unix(directories.run.join("agent.sock"))).deadline(ANSWER_LIMIT)
        };
        Self { clients: directories.map(client).collect() }
    }

    /// What a server's agent says of its own server.
    ///
    /// # Errors
    /// When it does not answer within a second.
    pub async fn server(&self, place: Place) -> Result<ServerStatus, CallError> {
        self.clients[place.index()].server().await
    }

    /// What a server's agent says of the whole cluster.
    ///
    /// # Errors
    /// As [`Agents::server`].
    pub async fn cluster(&self, place: Place) -> Result<Status, CallError> {
        self.clients[place.index()].status().await
    }

    /// The mesh as a server's agent knows it.
    ///
    /// # Errors
    /// When it does not answer within ten seconds.
    pub async fn mesh(&self, place: Place) -> Result<Mesh, CallError> {
        self.clients[place.index()].clone().deadline(PATIENT_LIMIT).mesh().await
    }

    /// What an agent has written into its journal after an entry.
    ///
    /// # Errors
    /// As [`Agents::server`].
    pub async fn events(&self, place: Place, since: u64) -> Result<Vec<Event>, CallError> {
        self.clients[place.index()].events(EventsQuery { since, wait: 0 }).await
    }

    /// The changes of primary that an agent knows from the replicated record, oldest first.
    ///
    /// # Errors
    /// As [`Agents::server`].
    pub async fn history(&self, place: Place) -> Result<Vec<HistoryEntry>, CallError> {
        self.clients[place.index()].history().await
    }

    /// Asks for a planned move of the primary.
    ///
    /// # Errors
    /// When the agent refuses or does not answer.
    pub async fn switchover(&self, at: Place, to: Option<Place>) -> Result<(), CallError> {
        let request = SwitchoverRequest {
            to: to.map(|place| place.name().to_owned()),
            dry_run: false,
            expect_primary: Some(at.name().to_owned()),
        };
        self.clients[at.index()].switchover(&request).await.map(drop)
    }
}
