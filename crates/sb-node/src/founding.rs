//! Who begins the cluster's store. Exactly one server may, once: two stores of one cluster would be two truths.

use std::path::Path;
use std::time::Duration;

use sb_client::state::Identity;
use sb_client::trust::Credentials;
use sb_client::{Client, Target};
use sb_topology::{StoreKind, Topology};
use tokio::task::JoinSet;

use crate::Layout;
use crate::membership::peer_address;
use crate::store::StoreOpening;

/// How long the others are asked, in milliseconds.
const ASK_MS_MAX: u64 = 3_000;

/// Whether this server is to begin a store: its bundle says so, it has none yet, and no other server knows one.
///
/// The last condition is what keeps a founder that lost its disk from founding a second cluster. It cannot help when
/// none of the others can be reached at that moment; an operator who restores a founder's bundle on an empty disk
/// sets `bootstrap` to false in `identity.json`.
pub async fn begins_store(opening: &StoreOpening<'_>, data_dir: &Path) -> bool {
    let StoreOpening { layout, identity, topology, credentials, .. } = *opening;
    if !identity.bootstrap || !untouched(layout, data_dir) {
        return false;
    }
    // etcd itself lets one founder begin, and knows for ever that there was one.
    topology.policy().store.kind() == StoreKind::Etcd
        || !somebody_knows(identity, topology, credentials).await
}

/// Whether nothing here tells of an earlier life. The session is counted only after the store is open, so a first start
/// that was cut short is still the first.
fn untouched(layout: &Layout, data_dir: &Path) -> bool {
    let traces = [
        layout.session_file(),
        layout.phase_file(),
        layout.promise_file(),
        layout.topology_file(),
        layout.branch_file(),
    ];
    !sb_consensus::holds_log(&layout.raft_dir())
        && !sb_consensus::belongs_to_etcd(&layout.etcd_dir())
        && traces.iter().all(|trace| !trace.exists())
        && !data_dir.join("PG_VERSION").exists()
}

async fn somebody_knows(identity: &Identity, topology: &Topology, credentials: &Credentials) -> bool {
    let mut asked = JoinSet::new();
    for server in topology.servers().filter(|s| s.name != identity.server) {
        let Ok(target) = Target::peer(server.name.clone(), peer_address(server), credentials) else {
            continue;
        };
        let client = Client::new(target).deadline(Duration::from_millis(ASK_MS_MAX));
        asked.spawn(async move { knows(&client).await });
    }
    while let Some(answer) = asked.join_next().await {
        if answer.unwrap_or(false) {
            return true;
        }
    }
    false
}

/// Whether the agent belongs to a store that has a state.
async fn knows(client: &Client) -> bool {
    client.peer_status().await.is_ok_and(|status| status.applied_index.is_some_and(|index| index > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_without_a_past_may_found() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let layout = Layout::new(dir.path().join("config"), state.clone(), dir.path().join("run"));
        let data = dir.path().join("data");
        std::fs::create_dir_all(&state).unwrap();
        std::fs::create_dir_all(layout.raft_dir()).unwrap();
        assert!(untouched(&layout, &data), "an empty raft directory is no past");

        for trace in [layout.session_file(), layout.phase_file(), layout.topology_file()] {
            std::fs::write(&trace, "1").unwrap();
            assert!(!untouched(&layout, &data), "{}", trace.display());
            std::fs::remove_file(&trace).unwrap();
        }
        std::fs::create_dir_all(&data).unwrap();
        assert!(untouched(&layout, &data), "an empty data directory is no past");
        std::fs::write(data.join("PG_VERSION"), "15").unwrap();
        assert!(!untouched(&layout, &data));
    }
}
