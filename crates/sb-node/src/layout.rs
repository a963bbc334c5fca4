//! Where an agent keeps what: the three directories and the files in them.

use std::path::{Path, PathBuf};

/// The directories of one server.
#[derive(Clone, Debug)]
pub struct Layout {
    config: PathBuf,
    state: PathBuf,
    run: PathBuf,
}

impl Layout {
    /// A layout over the given directories (`/etc/show-build`, `/var/lib/show-build`, `/run/show-build`).
    #[must_use]
    pub fn new(config: PathBuf, state: PathBuf, run: PathBuf) -> Self {
        Self { config, state, run }
    }

    /// The operator's documents.
    #[must_use]
    pub fn config_dir(&self) -> &Path {
        &self.config
    }

    /// This server's WireGuard key, where the application keeps it.
    #[must_use]
    pub fn mesh_key_file(&self) -> PathBuf {
        self.config.join(crate::mesh::KEY_FILE)
    }

    /// The preshared keys of this server's pairs. Beside its key, so that whoever brings that back brings these too.
    #[must_use]
    pub fn mesh_preshared_file(&self) -> PathBuf {
        self.config.join(".wireguard_preshared")
    }

    /// How far the replacement of this server's WireGuard key is.
    #[must_use]
    pub fn mesh_rotation_file(&self) -> PathBuf {
        self.state.join("mesh-rotation")
    }

    /// Everything that must survive a restart of the host.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state
    }

    /// Sockets.
    #[must_use]
    pub fn run_dir(&self) -> &Path {
        &self.run
    }

    /// Certificates and the key.
    #[must_use]
    pub fn tls_dir(&self) -> PathBuf {
        self.state.join("tls")
    }

    /// The store's log and snapshots.
    #[must_use]
    pub fn raft_dir(&self) -> PathBuf {
        self.state.join("raft")
    }

    /// Who this server is in a store that is in etcd.
    #[must_use]
    pub fn etcd_dir(&self) -> PathBuf {
        self.state.join("etcd")
    }

    /// The last good copy of the topology in force.
    #[must_use]
    pub fn topology_file(&self) -> PathBuf {
        self.state.join("topology.json")
    }

    /// The newest agreement about the mesh that this server knows.
    #[must_use]
    pub fn mesh_agreement_file(&self) -> PathBuf {
        self.state.join("mesh.json")
    }

    /// Where the machines that call were heard last.
    #[must_use]
    pub fn mesh_callers_file(&self) -> PathBuf {
        self.state.join("mesh-callers.json")
    }

    /// The last `network.json` without problems.
    #[must_use]
    pub fn network_file(&self) -> PathBuf {
        self.state.join("network.json")
    }

    /// The phase of a change under way (rule R9).
    #[must_use]
    pub fn phase_file(&self) -> PathBuf {
        self.state.join("phase.json")
    }

    /// The newest promise made (rule R4).
    #[must_use]
    pub fn promise_file(&self) -> PathBuf {
        self.state.join("promise.json")
    }

    /// What was promised to a primary that goes on without the store.
    #[must_use]
    pub fn failsafe_file(&self) -> PathBuf {
        self.state.join("failsafe.json")
    }

    /// The recovery that a person has asked for, until it is carried out.
    #[must_use]
    pub fn recovery_file(&self) -> PathBuf {
        self.state.join("recovery.json")
    }

    /// The newest of the cluster's stores that this server has heard of.
    #[must_use]
    pub fn branch_file(&self) -> PathBuf {
        self.state.join("branch.json")
    }

    /// How often the agent has started.
    #[must_use]
    pub fn session_file(&self) -> PathBuf {
        self.state.join("session.json")
    }

    /// The journal of events.
    #[must_use]
    pub fn journal_file(&self) -> PathBuf {
        self.state.join("journal.jsonl")
    }

    /// The failover machine's inputs, to be played again.
    #[must_use]
    pub fn trace_dir(&self) -> PathBuf {
        self.state.join("trace")
    }

    /// Room that is kept for the day when the disk is full.
    #[must_use]
    pub fn reserve_file(&self) -> PathBuf {
        self.state.join("reserve")
    }

    /// Diverged logs, lost-write reports and data directories taken out of use (rule R8).
    #[must_use]
    pub fn parked_dir(&self) -> PathBuf {
        self.state.join("parked")
    }

    /// The data directory, unless the topology names another.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.state.join("pgdata")
    }

    /// PostgreSQL's logs.
    #[must_use]
    pub fn postgres_log_dir(&self) -> PathBuf {
        self.state.join("pglog")
    }

    /// The agent's HTTP socket.
    #[must_use]
    pub fn agent_socket(&self) -> PathBuf {
        self.run.join("agent.sock")
    }

    /// Where PostgreSQL puts its socket.
    #[must_use]
    pub fn postgres_socket_dir(&self) -> PathBuf {
        self.run.join("pg")
    }
}
