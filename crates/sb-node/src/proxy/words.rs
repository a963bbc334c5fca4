//! What the other servers say of themselves about their clients, heard as soon as it changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sb_api::{SERVING_WAIT_MS_MAX, ServingQuery};
use sb_client::trust::Credentials;
use sb_client::{Client, Target};
use sb_topology::{Server, ServerName, Topology};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::routes::Heard;
use crate::membership::peer_address;
use crate::peers::round_trip;

/// Pause before a server that did not answer is asked again, in milliseconds.
const SILENT_MS: u64 = 500;

/// Shortest time between two answers of one server, in milliseconds.
const PAUSE_MS: u64 = 20;

/// Longest wait for an answer beyond the time that it may be held back, in milliseconds.
const ANSWER_MS_MAX: u64 = 2_000;

/// The last word of every other server.
pub type Words = BTreeMap<ServerName, Heard>;

/// Asks every other server, again and again, until `stop`.
pub async fn listen(
    topology: Arc<Topology>,
    me: ServerName,
    credentials: Arc<Credentials>,
    words: watch::Sender<Words>,
    stop: CancellationToken,
) {
    let mut asked = JoinSet::new();
    for server in topology.servers().filter(|server| server.name != me) {
        asked.spawn(listen_to(server.clone(), credentials.clone(), words.clone()));
    }
    // They end with the set.
    stop.cancelled().await;
}

async fn listen_to(server: Server, credentials: Arc<Credentials>, words: watch::Sender<Words>) {
    let mut seen = String::new();
    loop {
        let pause = match ask(&server, &credentials, &seen).await {
            Some(heard) => {
                seen = heard.word.gist();
                words.send_modify(|words| _ = words.insert(server.name.clone(), heard));
                PAUSE_MS
            }
            None => {
                seen.clear();
                SILENT_MS
            }
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

async fn ask(server: &Server, credentials: &Credentials, seen: &str) -> Option<Heard> {
    let address = peer_address(server);
    let limit = Duration::from_millis(ANSWER_MS_MAX);
    let distance = tokio::time::timeout(limit, round_trip(address)).await.ok()?.ok()?;
    let target = Target::peer(server.name.clone(), address, credentials).ok()?;
    let query = ServingQuery { seen: seen.to_owned(), wait_ms: SERVING_WAIT_MS_MAX };
    let word = Client::new(target).deadline(limit).serving(&query).await.ok()?;
    Some(Heard { word, at: Instant::now(), distance })
}
