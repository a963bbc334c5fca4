//! Which store of the cluster this server belongs to, and that it changes over to a newer one.
//!
//! A recovery makes a new store with a larger generation. A member of the old one that hears of it leaves the old one
//! for good and asks to be taken into the new one, as a new incarnation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sb_api::{PeerStatus, StoreWord};
use sb_client::trust::Credentials;
use sb_client::{Client, Target};
use sb_consensus::{RaftStore, Role, Store};
use sb_topology::{Server, ServerName, StoreKind, Topology};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::journal::{Entry, Journal};
use crate::membership::peer_address;
use crate::persisted::{self, RememberError};
use crate::replicated::Replicated;
use crate::store::StoreOpening;
use crate::{AgentError, Layout};

/// Longest wait for the answers of all others, in milliseconds. A primary whose agent was started again has its lease to
/// renew.
const ASK_MS_MAX: u64 = 1_000;

/// Between two rounds of asking while the store has no leader, in milliseconds.
const ROUND_ALONE_MS: u64 = 2_000;

/// Between two rounds while it has one, in milliseconds: then only a server that was given up by mistake has anything to
/// learn.
const ROUND_LED_MS: u64 = 15_000;

/// The newest store that this server has heard of, across its starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Its generation.
    pub generation: u64,
}

impl Heard {
    /// What was noted; the first store when nothing was.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(layout: &Layout) -> Result<Self, RememberError> {
        Ok(persisted::read(&layout.branch_file())?.unwrap_or_default())
    }

    fn write(self, layout: &Layout) -> Result<(), RememberError> {
        persisted::replace(&layout.branch_file(), &self)
    }
}

/// What every other server says now, those that do not answer left out.
pub async fn ask(
    topology: &Topology,
    me: &Server,
    credentials: &Credentials,
) -> BTreeMap<ServerName, PeerStatus> {
    let limit = Duration::from_millis(ASK_MS_MAX);
    let mut asked = JoinSet::new();
    for server in topology.servers().filter(|server| server.name != me.name) {
        let Ok(target) = Target::peer(server.name.clone(), peer_address(server), credentials) else {
            continue;
        };
        let (name, client) = (server.name.clone(), Client::new(target).deadline(limit));
        asked.spawn(async move { Some((name, client.peer_status().await.ok()?)) });
    }
    let mut answers = BTreeMap::new();
    while let Some(answer) = asked.join_next().await {
        answers.extend(answer.ok().flatten());
    }
    answers
}

/// The newest store that somebody belongs to.
pub fn newest(answers: &BTreeMap<ServerName, PeerStatus>) -> Option<(&ServerName, &StoreWord)> {
    let stores = answers.iter().filter_map(|(name, status)| Some((name, status.store.as_ref()?)));
    stores.max_by_key(|(_, store)| store.generation)
}

/// Leaves a store that was given up elsewhere, before it is opened: two of its members that start together could be a
/// majority of it.
///
/// # Errors
/// When the directory cannot be put aside, or what was heard cannot be read or written.
pub async fn leave(opening: &StoreOpening<'_>) -> Result<(), AgentError> {
    let raft = opening.layout.raft_dir();
    let held = match opening.topology.policy().store.kind() {
        StoreKind::Raft => RaftStore::look_into(&raft, Replicated::default())?,
        StoreKind::Etcd => None,
    };
    let Some(record) = held else {
        return Ok(());
    };
    let heard = Heard::read(opening.layout)?;
    let answers = ask(opening.topology, opening.me, opening.credentials).await;
    let told = newest(&answers).map_or(0, |(_, store)| store.generation);
    let generation = told.max(heard.generation);
    if generation <= record.branch.generation {
        return Ok(());
    }
    // First what was heard: without it, a crash in between could bring this server back into the old store.
    Heard { generation }.write(opening.layout)?;
    let left = RaftStore::<Replicated>::leave(&raft)?;
    let left = left.map(|path| path.display().to_string()).unwrap_or_default();
    let entry = Entry::new("store.left", "this server has left a store that was given up");
    let detail =
        format!("A recovery elsewhere made generation {generation}; the old store is kept in {left}.");
    opening.journal.record(entry.detail(detail));
    Ok(())
}

/// Notes which store this server belongs to, and ends the agent when there is a newer one: its next start leaves.
pub struct BranchWatch {
    /// The store.
    pub store: Store<Replicated>,
    /// Where it is noted.
    pub layout: Layout,
    /// The others.
    pub topology: Arc<Topology>,
    /// This server.
    pub me: Server,
    /// Trust among peers.
    pub credentials: Arc<Credentials>,
    /// For people.
    pub journal: Arc<Journal>,
    /// Ends the agent.
    pub stop: CancellationToken,
}

impl BranchWatch {
    /// Runs until the agent stops.
    pub async fn run(self) {
        let mut heard = Heard::read(&self.layout).unwrap_or_default();
        // The first round always asks: at the start nobody may have answered in time.
        let mut since_asked = Duration::from_millis(ROUND_LED_MS);
        let round = Duration::from_millis(ROUND_ALONE_MS);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(round) => since_asked += round,
            }
            let own = self.store.watch().borrow().view.branch.generation;
            if own > heard.generation && self.note(own) {
                heard.generation = own;
            }
            let health = self.store.health().borrow().clone();
            let led = health.leader.is_some() && health.role != Role::Outsider;
            if health.etcd.is_some() || (led && since_asked < Duration::from_millis(ROUND_LED_MS)) {
                continue;
            }
            since_asked = Duration::ZERO;
            let answers = ask(&self.topology, &self.me, &self.credentials).await;
            let newer = newest(&answers).filter(|(_, store)| store.generation > own.max(heard.generation));
            if let Some((told_by, store)) = newer {
                return self.change_over(told_by, store.generation);
            }
        }
    }

    fn note(&self, generation: u64) -> bool {
        let noted = Heard { generation }.write(&self.layout);
        if let Err(error) = &noted {
            tracing::warn!(%error, "could not note the store's generation");
        }
        noted.is_ok()
    }

    /// Only a start of the agent leaves a store. What could not be noted is heard again then.
    fn change_over(&self, told_by: &ServerName, generation: u64) {
        self.note(generation);
        let fact = "the store was recovered elsewhere: this server changes over";
        let entry = Entry::new("store.superseded", fact);
        self.journal.record(entry.detail(format!("`{told_by}` belongs to generation {generation}.")));
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests {
    use sb_api::ServerStatus;

    use super::*;

    fn status(generation: u64) -> PeerStatus {
        let store = StoreWord { generation, holder: None, term: 1, holder_position: None };
        PeerStatus {
            mesh: None,
            cluster_id: "id".into(),
            server: ServerStatus::unknown("x", "x"),
            applied_index: Some(1),
            store_leader: None,
            term: None,
            position: None,
            store: Some(store),
        }
    }

    #[test]
    fn the_newest_store_is_the_one_that_was_recovered_last() {
        let mute = PeerStatus { store: None, ..status(9) };
        let answers = [("burlington-1", status(0)), ("ravena-1", mute), ("tucson-1", status(1))];
        let answers = answers.map(|(name, status)| (name.parse().unwrap(), status)).into();
        let newest = newest(&answers).map(|(name, store)| (name.as_str(), store.generation));
        assert_eq!(newest, Some(("tucson-1", 1)));
    }
}
