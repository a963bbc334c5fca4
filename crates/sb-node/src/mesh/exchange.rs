//! What the servers tell each other about the network between them.
//!
//! Every other server is asked by a task of its own, so that one that is slow or away holds up nobody. No reading of a clock
//! is told, only how long something has been so; how old a word is, whoever heard it counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sb_api::{MeshReport, MeshWord};
use sb_client::trust::Credentials;
use sb_client::{Client, Target};
use sb_topology::{ServerName, Topology};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::agreement::Known;
use crate::membership::peer_address;

/// Between two questions to one server, in milliseconds.
const ASK_MS: u64 = 2_000;

/// The same while a server's key is being replaced, which waits for all that are there.
const HURRY_MS: u64 = 250;

/// How long a replacement of a key is hurried with, in seconds: one whose server is away goes on at leisure.
pub(super) const HURRY_SECONDS_MAX: u64 = 600;

/// Longest wait for one answer, in milliseconds.
const ANSWER_MS_MAX: u64 = 1_500;

/// The last word of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// What it said.
    pub(super) word: MeshWord,
    /// When it was heard.
    pub(super) at: Instant,
}

/// The last word of every other server that was heard since the agent started.
pub type Words = BTreeMap<ServerName, Heard>;

/// What is told of them to others: with its age, and without what they told of others again.
pub(super) fn reports(words: &Words, now: Instant) -> Vec<MeshReport> {
    let report = |(server, heard): (&ServerName, &Heard)| MeshReport {
        server: server.to_string(),
        age_ms: milliseconds(now.saturating_duration_since(heard.at)),
        sights: heard.word.sights.clone(),
        rotation: heard.word.rotation,
        relays: heard.word.relays.clone(),
        cannot_carry: heard.word.cannot_carry,
    };
    words.iter().map(report).collect()
}

/// A time as it is told.
pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Asks every other server, again and again.
pub(super) struct Exchange {
    clients: Vec<(ServerName, Client)>,
    words: watch::Sender<Words>,
    agreed: watch::Receiver<Arc<Known>>,
}

impl Exchange {
    /// Asks the other servers of `topology` as `own`; what they say goes into `words`.
    pub(super) fn new(
        topology: &Topology,
        own: &ServerName,
        credentials: &Credentials,
        words: watch::Sender<Words>,
        agreed: watch::Receiver<Arc<Known>>,
    ) -> Self {
        let mut clients = Vec::new();
        for server in topology.servers().filter(|server| server.name != *own) {
            match Target::peer(server.name.clone(), peer_address(server), credentials) {
                Ok(target) => {
                    let client = Client::new(target).deadline(Duration::from_millis(ANSWER_MS_MAX));
                    clients.push((server.name.clone(), client));
                }
                Err(error) => tracing::warn!(server = %server.name, %error, "it cannot be asked"),
            }
        }
        Self { clients, words, agreed }
    }

    /// Runs until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut asking = JoinSet::new();
        for (name, client) in self.clients {
            asking.spawn(keep_asking(name, client, self.words.clone(), self.agreed.clone()));
        }
        stop.cancelled().await;
    }
}

async fn keep_asking(
    name: ServerName,
    client: Client,
    words: watch::Sender<Words>,
    mut agreed: watch::Receiver<Arc<Known>>,
) {
    let mut changed_at = Instant::now();
    loop {
        match client.mesh_word().await {
            Ok(word) => {
                let heard = Heard { word, at: Instant::now() };
                words.send_modify(|words| drop(words.insert(name.clone(), heard)));
            }
            Err(error) => tracing::debug!(server = %name, %error, "no word about the mesh"),
        }
        let goes_on = agreed.borrow_and_update().agreed.rotation.is_some();
        let hurry = goes_on && changed_at.elapsed() < Duration::from_secs(HURRY_SECONDS_MAX);
        let pause = Duration::from_millis(if hurry { HURRY_MS } else { ASK_MS });
        // Another agreement is a reason to ask at once how far the others are with it.
        match tokio::time::timeout(pause, agreed.changed()).await {
            Ok(Ok(())) => changed_at = Instant::now(),
            Ok(Err(_)) => return,
            Err(_) => {}
        }
    }
}
