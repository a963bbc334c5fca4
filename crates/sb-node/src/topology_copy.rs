//! The topology at boot, and the last good copy of the one in force: so that a server knows its peers without anybody
//! else being up.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sb_consensus::Store;
use sb_failover::{ClusterRecord, Request};
use sb_topology::{Documents, NetworkSettings, Problems, Server, ServerName, StorePolicy, Topology};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::journal::{Entry, Journal};
use crate::replicated::Replicated;
use crate::{AgentError, Layout, machine_config, persisted};

/// Longest wait for the store to take the topology, in milliseconds.
const PROPOSAL_MS_MAX: u64 = 3_000;

/// Between two attempts to put the first topology into the store, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// The copy on disk cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It is there and cannot be read. Going on with older documents could bring a removed server back.
    #[error("could not read the copy of the topology in `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is damaged. Going on with older documents could bring a removed server back.
    #[error("the copy of the topology in `{}` is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Copy {
    generation: u64,
    document: String,
}

/// The topology to boot with: the copy of the one in force, else the operator's documents.
///
/// The store's topology wins over the documents; where they differ the journal says so. How a store of the same kind is
/// reached is for the documents to say: when etcd has moved, nobody can read in it where to.
///
/// # Errors
/// When neither can be used.
pub fn at_boot(layout: &Layout, journal: &Journal) -> Result<Topology, AgentError> {
    let documents = sb_topology::load_dir(layout.config_dir());
    let Some(copy) = read(layout)? else {
        return match documents {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    tracing::warn!("{warning}");
                }
                Ok(loaded.topology)
            }
            Err(problems) => Err(AgentError::Configuration(problems)),
        };
    };
    let in_force = Topology::from_json(&copy.document).map_err(AgentError::Configuration)?;
    let documents = documents.map(|loaded| loaded.topology);
    let in_force = match &documents {
        Ok(topology) => reached_as_said(journal, in_force, &topology.policy().store),
        Err(_) => in_force,
    };
    note_difference(journal, &in_force, documents, copy.generation);
    Ok(in_force)
}

/// This server's part in the mesh, as its `network.json` says, read beside the topology in force: what is wrong with the
/// other documents does not matter to it. Where it has problems itself, the copy of the last one without is used, else the
/// usual values, and the journal says which.
pub fn network_settings(layout: &Layout, topology: &Topology, journal: &Journal) -> NetworkSettings {
    let document = match std::fs::read(layout.config_dir().join("network.json")) {
        Ok(document) => document,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return NetworkSettings::default(),
        Err(_) => Vec::new(),
    };
    let problems = match settings_of(&document, topology) {
        Ok(settings) => {
            keep_network(layout, &document);
            return settings;
        }
        Err(problems) => problems,
    };
    let copy = std::fs::read(layout.network_file()).ok();
    let (settings, kind, message) = match copy.and_then(|copy| settings_of(&copy, topology).ok()) {
        Some(settings) => {
            (settings, "mesh.last_good", "network.json has problems; the mesh has the last good settings")
        }
        None => {
            let message = "network.json has problems; the mesh has the usual settings";
            (NetworkSettings::default(), "mesh.defaults", message)
        }
    };
    journal.record(Entry::new(kind, message).detail(problems.to_string()));
    settings
}

fn settings_of(document: &[u8], topology: &Topology) -> Result<NetworkSettings, Problems> {
    let others = topology.to_documents(&NetworkSettings::default());
    let documents = Documents { network: Some(document), ..others.as_documents() };
    sb_topology::load(documents).map(|loaded| loaded.network)
}

/// The document as it stands: what is read into settings today may be read into more by a later version.
fn keep_network(layout: &Layout, document: &[u8]) {
    let path = layout.network_file();
    let Ok(document) = serde_json::from_slice::<serde_json::Value>(document) else { return };
    let kept = std::fs::read(&path).ok().and_then(|kept| serde_json::from_slice(&kept).ok());
    if kept.as_ref() == Some(&document) {
        return;
    }
    if let Err(error) = persisted::replace(&path, &document) {
        tracing::warn!(%error, "could not keep a copy of network.json");
    }
}

fn reached_as_said(journal: &Journal, in_force: Topology, said: &StorePolicy) -> Topology {
    let known = &in_force.policy().store;
    if said == known || said.kind() != known.kind() {
        return in_force;
    }
    let message = "the store is reached as this server's policy.json says";
    journal.record(Entry::new("store.reached", message).detail("The topology in force says another way."));
    in_force.with_store(said.clone())
}

fn note_difference(
    journal: &Journal,
    in_force: &Topology,
    documents: Result<Topology, Problems>,
    generation: u64,
) {
    let message = match documents {
        Ok(topology) if topology.to_json() == in_force.to_json() => return,
        Ok(_) => "the documents differ from the topology in force, which wins",
        Err(_) => "the documents have problems; the topology in force is used",
    };
    journal.record(
        Entry::new("topology.differs", message).detail(format!("In force is generation {generation}.")),
    );
}

fn read(layout: &Layout) -> Result<Option<Copy>, CopyError> {
    let path = layout.topology_file();
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CopyError::Unreadable { path, source }),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|_| CopyError::Damaged { path })
}

/// Puts the first topology into the store if there is none and this server holds the lease, and its policy's times in
/// force; keeps the copy of what is in force, until `stop`.
pub fn keep(
    layout: Layout,
    me: &Server,
    topology: &Arc<Topology>,
    store: &Store<Replicated>,
    stop: &CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    keep_until(layout, me.name.clone(), topology.clone(), store.clone(), stop.clone())
}

async fn keep_until(
    layout: Layout,
    me: ServerName,
    topology: Arc<Topology>,
    store: Store<Replicated>,
    stop: CancellationToken,
) {
    let mut records = store.watch();
    let mut kept = 0;
    loop {
        let record = records.borrow_and_update().view.clone();
        let known = &record.topology;
        if known.generation > kept {
            let copy = Copy { generation: known.generation, document: known.document.clone() };
            match persisted::replace(&layout.topology_file(), &copy) {
                Ok(()) => kept = known.generation,
                Err(error) => tracing::warn!(%error, "could not keep a copy of the topology"),
            }
        }
        let first = record.holder() == Some(&me) && known.generation == 0;
        if first {
            put_first(&store, &topology).await;
        }
        let times = record.holder() == Some(&me);
        let times = times.then(|| times_to_set(&record, &topology)).flatten();
        let unset = first || times.is_some();
        if let Some(request) = times {
            let proposed = store.propose(request, Duration::from_millis(PROPOSAL_MS_MAX)).await;
            tracing::debug!(?proposed, "the policy's times were put to the store");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = records.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(Duration::from_millis(RETRY_MS)), if unset => {}
        }
    }
}

/// What the policy asks for, if that is not in force. The lease's holder proposes it, so that servers that were given
/// different policies do not take turns.
fn times_to_set(record: &ClusterRecord, topology: &Topology) -> Option<Request> {
    let timings = machine_config::timings(topology);
    let lag_bytes_max = topology.policy().failover.lag_bound_bytes;
    let in_force = record.timings == timings && record.lag_bytes_max == lag_bytes_max;
    (!in_force && timings.check().is_ok()).then_some(Request::SetTimings { timings, lag_bytes_max })
}

async fn put_first(store: &Store<Replicated>, topology: &Topology) {
    let limit = Duration::from_millis(PROPOSAL_MS_MAX);
    let automatic = topology.automatic_failover().into();
    let request = Request::SetTopology { expect_generation: 0, document: topology.to_json(), automatic };
    let proposed = store.propose(request, limit).await;
    tracing::debug!(?proposed, "the first topology was put to the store");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sb_topology::EtcdPolicy;

    use super::*;

    fn server(dir: &Path) -> (Layout, Journal) {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/show-build");
        let layout = Layout::new(example, dir.to_owned(), dir.to_owned());
        let journal = Journal::open(&layout.journal_file(), "ravena-1").unwrap();
        (layout, journal)
    }

    #[test]
    fn the_copy_of_what_is_in_force_wins_over_the_documents_and_the_journal_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, journal) = server(dir.path());
        let documents = at_boot(&layout, &journal).unwrap();
        let document = documents.to_json().replace("Tucson, AZ", "Tucson, Arizona");
        persisted::replace(&layout.topology_file(), &Copy { generation: 3, document }).unwrap();

        let in_force = at_boot(&layout, &journal).unwrap();
        let tucson = in_force.sites().iter().find(|site| site.name.as_str() == "tucson").unwrap();
        assert_eq!(tucson.label, "Tucson, Arizona");
        assert_eq!(journal.since(0, 10).last().unwrap().kind, "topology.differs");
    }

    #[test]
    fn a_network_document_with_problems_leaves_the_last_good_settings() {
        let dir = tempfile::tempdir().unwrap();
        let (example, journal) = server(dir.path());
        let topology = at_boot(&example, &journal).unwrap();
        let config = dir.path().join("config");
        std::fs::create_dir(&config).unwrap();
        let layout = Layout::new(config.clone(), dir.path().to_owned(), dir.path().to_owned());
        let read = |document: &str| {
            std::fs::write(config.join("network.json"), document).unwrap();
            network_settings(&layout, &topology, &journal)
        };
        let last = || journal.since(0, 10).last().map(|event| event.kind.clone());
        assert_eq!(read(r#"{"listenPort": "#), NetworkSettings::default());
        assert_eq!(last().as_deref(), Some("mesh.defaults"));

        let good = read(r#"{"listenPort": 51999, "interface": "sites"}"#);
        assert_eq!((good.listen_port, good.interface.as_str()), (51_999, "sites"));
        assert_eq!(read(r#"{"listenPort": 99999}"#), good);
        assert_eq!(last().as_deref(), Some("mesh.last_good"));
        std::fs::remove_file(config.join("network.json")).unwrap();
        assert_eq!(network_settings(&layout, &topology, &journal), NetworkSettings::default());
    }

    #[test]
    fn an_etcd_that_has_moved_is_found_by_the_documents_and_no_other_store_is() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, journal) = server(dir.path());
        let etcd = |host: &str| {
            StorePolicy::Etcd(EtcdPolicy {
                endpoints: vec![format!("http://{host}:2379").parse().unwrap()],
                ca_file: None,
                client: None,
                login: None,
            })
        };
        let in_force = || at_boot(&layout, &journal).unwrap().with_store(etcd("10.0.1.1"));

        let moved = reached_as_said(&journal, in_force(), &etcd("10.0.9.1"));
        assert_eq!(moved.policy().store, etcd("10.0.9.1"));
        assert_eq!(journal.since(0, 10).last().unwrap().kind, "store.reached");

        let raft = reached_as_said(&journal, in_force(), &StorePolicy::Raft);
        assert_eq!(raft.policy().store, etcd("10.0.1.1"), "the kind of store stays");
    }

    #[test]
    fn the_policys_times_are_put_in_force_once() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, journal) = server(dir.path());
        let topology = at_boot(&layout, &journal).unwrap();
        let mut record = ClusterRecord { lag_bytes_max: 1, ..ClusterRecord::default() };
        let request = times_to_set(&record, &topology).unwrap();
        record.apply(&request).unwrap();
        assert_eq!(times_to_set(&record, &topology), None);
    }

    #[test]
    fn a_damaged_copy_is_not_replaced_by_older_documents() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, journal) = server(dir.path());
        std::fs::write(layout.topology_file(), "{\"generation\":").unwrap();
        assert!(matches!(at_boot(&layout, &journal), Err(AgentError::Copy(CopyError::Damaged { .. }))));
    }
}
