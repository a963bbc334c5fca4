//! The agent of one server, put together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sb_client::API_PORT;
use sb_client::state::{Identity, Secrets, StateFileError, Tokens};
use sb_client::trust::{Credentials, TrustError};
use sb_consensus::{OpenError, RaftConfig, RaftStore, Store};
use sb_failover::record::{Durability, Member};
use sb_failover::{Config, Founding, Incarnation, Machine, Session, State, Timings};
use sb_pgrepl::{Instance, InstanceConfig, Programs, ProgramsError, RunAs, RunAsError, TlsFiles};
use sb_topology::{PostgresPlacement, Problems, Server, ServerName, Topology};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::dialer::PeerDialer;
use crate::packet_fence::PacketFence;
use crate::guard_link::GuardLink;
use crate::http::{ApiListener, ListenError, PeerListener, RaftConnection, UnixListener, router};
use crate::journal::{Entry, Journal, JournalError};
use crate::membership::{Membership, peer_address};
use crate::operations::Operations;
use crate::peers::Peers;
use crate::persisted::{Memory, RememberError};
use crate::postgres::{Driver, DriverConfig, Housekeeping, Watcher};
use crate::replicated::Replicated;
use crate::runtime::{EVENTS_WAITING_MAX, Runtime};
use crate::topology_copy::{self, CopyError};
use crate::view::Agent;
use crate::{Layout, boottime, founding};

/// Connections of the store's peers that may wait to be served.
const RAFT_CONNECTIONS_WAITING_MAX: usize = 32;

/// Longest wait for the store to end in order, in milliseconds.
const STORE_STOP_MS_MAX: u64 = 2_000;

/// What the agent is told on its command line.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Directories.
    pub layout: Layout,
    /// The user that PostgreSQL runs as when the agent is root.
    pub postgres_user: String,
    /// PostgreSQL's `bin` directory, when it is not to be looked for.
    pub postgres_bin: Option<PathBuf>,
    /// PostgreSQL's settings of the operator's choice.
    pub postgres_settings: BTreeMap<String, String>,
}

/// The agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The server's own files are missing or damaged.
    #[error(transparent)]
    State(#[from] StateFileError),
    /// Its certificate, key and authority cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The documents have problems, and there is no good copy of the topology.
    #[error("the configuration cannot be used:\n{0}")]
    Configuration(Problems),
    /// The copy of the topology cannot be used.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The topology has no such server.
    #[error("`{server}` is not in the topology")]
    UnknownServer {
        /// Who this server is, by its identity.
        server: ServerName,
    },
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A promise or a phase cannot be read.
    #[error(transparent)]
    Remember(#[from] RememberError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// There are no usable PostgreSQL programs.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    /// There is no user to run PostgreSQL as.
    #[error(transparent)]
    RunAs(#[from] RunAsError),
    /// A port or socket is in use.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A directory cannot be made.
    #[error("could not make the directory `{}`", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The failover machine's times contradict each other.
    #[error(transparent)]
    Timings(#[from] sb_failover::TimingsError),
}

impl AgentError {
    /// Numbers and places, for the line after the message.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        if let Self::Programs(error) = self { error.detail() } else { None }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Programs(error) => Some(error.hint()),
            Self::State(_) | Self::Trust(_) => {
                Some("Put this server's bundle in place: sb-cli init makes one for every server.".to_owned())
            }
            Self::Listen(_) => Some("Find who holds it: ss -lntp; is another agent running?".to_owned()),
            Self::UnknownServer { .. } => {
                Some("The name in identity.json must be one of the servers in sites.json.".to_owned())
            }
            Self::Store(OpenError::Corrupt { .. }) => Some(
                "Set the directory aside and start again: the server then joins as a new incarnation.".to_owned(),
            ),
            Self::Remember(RememberError::Damaged { .. }) => Some(
                "Guessing could break a promise. Set the state directory aside to rejoin as a new incarnation."
                    .to_owned(),
            ),
            Self::Configuration(_)
            | Self::Copy(_)
            | Self::Journal(_)
            | Self::Remember(RememberError::Io { .. })
            | Self::Store(_)
            | Self::RunAs(_)
            | Self::Directory { .. }
            | Self::Timings(_) => None,
        }
    }
}

/// Runs the agent until `stop`. PostgreSQL goes on afterwards under the guard, until the lease ends.
///
/// # Errors
/// When it cannot begin.
pub async fn run(config: AgentConfig, stop: CancellationToken) -> Result<(), AgentError> {
    let base = Base::load(&config)?;
    let store = base.open_store().await?;
    base.journal.record(Entry::new("agent.started", "the agent has started"));
    let api = base.listen(&store).await?;
    let parts = base.assemble(&config, store.clone(), stop.clone()).await?;
    api.serve(parts, &store, stop.clone());
    stop.cancelled().await;
    let _ = tokio::time::timeout(Duration::from_millis(STORE_STOP_MS_MAX), store.shutdown()).await;
    base.journal.record(Entry::new("agent.stopped", "the agent has stopped; PostgreSQL is with the guard"));
    Ok(())
}

/// What is known before anything runs.
struct Base {
    layout: Layout,
    identity: Identity,
    credentials: Arc<Credentials>,
    secrets: Secrets,
    tokens: Arc<Tokens>,
    topology: Arc<Topology>,
    me: Server,
    journal: Arc<Journal>,
    memory: Memory,
}

impl Base {
    fn load(config: &AgentConfig) -> Result<Self, AgentError> {
        let layout = config.layout.clone();
        make_directory(layout.state_dir())?;
        make_directory(layout.run_dir())?;
        let identity = Identity::load(layout.state_dir())?;
        let credentials = Arc::new(Credentials::load(&layout.tls_dir())?);
        let secrets = Secrets::load(layout.state_dir())?;
        let tokens = Arc::new(Tokens::load(layout.state_dir())?);
        let journal = Arc::new(Journal::open(&layout.journal_file(), identity.server.as_str())?);
        let topology = Arc::new(topology_copy::at_boot(&layout, &journal)?);
        let unknown = || AgentError::UnknownServer { server: identity.server.clone() };
        let me = topology.server(&identity.server).ok_or_else(unknown)?.clone();
        let memory = Memory::new(&layout);
        Ok(Self { layout, identity, credentials, secrets, tokens, topology, me, journal, memory })
    }

    async fn open_store(&self) -> Result<Store<Replicated>, AgentError> {
        let timings = self.topology.policy().failover.timings;
        let (cluster, name) = (self.identity.cluster_id.as_str(), self.me.name.as_str());
        let mut raft = RaftConfig::new(cluster, self.layout.raft_dir(), name, peer_address(&self.me).to_string());
        raft.timings.heartbeat_ms = clamp(timings.heartbeat_ms);
        raft.timings.election_min_ms = clamp(timings.election_min_ms);
        raft.timings.election_max_ms = clamp(timings.election_max_ms);
        let dialer = Arc::new(PeerDialer::new(&self.credentials)?);
        let begins = founding::begins_store(&self.identity, &self.layout, &self.topology, &self.credentials).await;
        if begins {
            self.journal.record(Entry::new("store.bootstrap", "this server begins the cluster's store"));
            return Ok(RaftStore::bootstrap(raft, Replicated::default(), dialer)?);
        }
        Ok(RaftStore::open(raft, Replicated::default(), dialer)?)
    }

    async fn listen(&self, _store: &Store<Replicated>) -> Result<Listeners, AgentError> {
        let peers = PeerListener::bind(peer_address(&self.me), Arc::new(self.credentials.peer_server_config()?));
        let api_address = SocketAddr::new(self.me.mesh_address, API_PORT);
        let tls = Arc::new(self.credentials.api_server_config()?);
        Ok(Listeners {
            unix: UnixListener::bind(&self.layout.agent_socket())?,
            peers: peers.await?,
            api: ApiListener::bind(api_address, tls, self.tokens.clone()).await?,
        })
    }

    async fn assemble(
        &self,
        config: &AgentConfig,
        store: Store<Replicated>,
        stop: CancellationToken,
    ) -> Result<Arc<Agent>, AgentError> {
        let (sender, events) = mpsc::channel(EVENTS_WAITING_MAX);
        let postgres_port = self.me.postgres.port().unwrap_or(PostgresPlacement::PORT_DEFAULT);
        let fence = PacketFence::open(postgres_port).await;
        let guard = GuardLink::spawn(self.layout.run_dir().to_owned(), sender.clone(), fence.clone());
        let driver = Driver::new(DriverConfig {
            me: self.me.clone(),
            topology: self.topology.clone(),
            secrets: self.secrets.clone(),
            settings: config.postgres_settings.clone(),
            data_dir: self.data_dir(),
            instance: self.instance(config)?,
            guard: guard.clone(),
            fence: fence.clone(),
            memory: self.memory.clone(),
            record: store.watch(),
            events: sender.clone(),
            journal: self.journal.clone(),
        });
        let machine = self.machine(&store)?;
        let (state, state_seen) = watch::channel(State::Starting);
        let (turn, turn_seen) = watch::channel(None);
        let (watcher, seen) = Watcher::new(driver.clone(), guard.clone(), sender.clone(), state_seen.clone());
        let operations = Operations::open(self.layout.state_dir().join("operations.json"));
        let cluster_id = self.identity.cluster_id.clone();
        let (topology, me, credentials) = (&self.topology, &self.me, &self.credentials);
        let membership =
            Membership::new(store.clone(), topology.clone(), me.clone(), cluster_id, credentials.clone());
        let runtime = Runtime {
            machine,
            store: store.clone(),
            guard: guard.clone(),
            driver: driver.clone(),
            journal: self.journal.clone(),
            events,
            sender,
            state,
            turn,
        };
        tokio::spawn(runtime.run(stop.clone()));
        tokio::spawn(watcher.run(stop.clone()));
        tokio::spawn(Housekeeping::new(driver, state_seen).run(stop.clone()));
        tokio::spawn(membership.run(stop.clone()));
        tokio::spawn(operations.clone().follow(store.watch(), stop.clone()));
        tokio::spawn(topology_copy::keep(self.layout.clone(), topology.clone(), store.clone(), stop.clone()));
        Ok(Arc::new(Agent {
            identity: self.identity.clone(),
            me: me.clone(),
            topology: topology.clone(),
            store,
            guard,
            fence,
            seen,
            turn: turn_seen,
            journal: self.journal.clone(),
            peers: Peers::spawn(topology.clone(), me.name.clone(), credentials.clone(), stop),
            operations,
        }))
    }

    fn data_dir(&self) -> PathBuf {
        match &self.me.postgres {
            PostgresPlacement::Here { data_dir: Some(dir), .. } => dir.clone(),
            PostgresPlacement::Here { data_dir: None, .. } | PostgresPlacement::Nowhere => self.layout.data_dir(),
        }
    }

    fn instance(&self, config: &AgentConfig) -> Result<Instance, AgentError> {
        let secret = |s: &sb_client::state::Secret| sb_pgrepl::Secret::new(s.expose());
        let tls = self.layout.tls_dir();
        Ok(Instance::new(InstanceConfig {
            server: self.me.name.clone(),
            programs: Programs::find_for_data(config.postgres_bin.as_deref(), &self.data_dir())?,
            run_as: RunAs::for_this_process(&config.postgres_user)?,
            data_dir: self.data_dir(),
            run_dir: self.layout.postgres_socket_dir(),
            log_dir: self.layout.postgres_log_dir(),
            parked_dir: self.layout.parked_dir(),
            port: self.me.postgres.port().unwrap_or(PostgresPlacement::PORT_DEFAULT),
            tls: TlsFiles {
                ca: tls.join("ca.pem"),
                certificate: tls.join("server.pem"),
                key: tls.join("server.key"),
            },
            secrets: sb_pgrepl::Secrets {
                replicator: secret(&self.secrets.replicator),
                rewind: secret(&self.secrets.rewind),
                monitor: secret(&self.secrets.monitor),
            },
        }))
    }

    fn machine(&self, store: &Store<Replicated>) -> Result<Machine, AgentError> {
        let session = self.memory.begin_session()?;
        let persisted = self.memory.recall()?;
        let config = self.machine_config(store, session);
        config.timings.check()?;
        Ok(Machine::new(config, persisted, boottime::now()))
    }

    fn machine_config(&self, store: &Store<Replicated>, session: Session) -> Config {
        let policy = self.topology.policy();
        let site = self.topology.site(&self.me.site);
        let member = Member {
            incarnation: Incarnation::new(store.member().id.get()),
            site: self.me.site.clone(),
            priority: site.map_or(u32::MAX, |site| u32::from(site.priority)),
            promotable: self.me.has_postgres(),
            sync_eligible: self.topology.sync_servers().any(|server| server.name == self.me.name),
        };
        let durability = match self.topology.durability() {
            sb_topology::Durability::Async => Durability::Async,
            sb_topology::Durability::Sync => Durability::Sync,
            sb_topology::Durability::Strict => Durability::Strict,
        };
        let number = if durability.is_synchronous() { usize::from(policy.durability.n) } else { 0 };
        let founds = self.identity.bootstrap && self.topology.initial_primary().name == self.me.name;
        let founding = if founds {
            Founding::Founder { durability, number, lag_bytes_max: policy.failover.lag_bound_bytes }
        } else {
            Founding::Joiner
        };
        Config { me: self.me.name.clone(), member, session, founding, timings: timings(&self.topology) }
    }
}

/// The failover machine's times by the policy.
fn timings(topology: &Topology) -> Timings {
    let failover = &topology.policy().failover;
    let chosen = failover.timings;
    Timings {
        ttl_ms: chosen.lease_ttl_ms,
        renew_ms: chosen.renew_ms,
        fence_lead_ms: chosen.fence_lead_ms,
        margin_ms: chosen.margin_ms,
        drift_ppm: u64::from(chosen.drift_ppm),
        restart_budget_ms: failover.restart_budget_ms,
        ..Timings::default()
    }
}

struct Listeners {
    unix: UnixListener,
    peers: PeerListener,
    api: ApiListener,
}

impl Listeners {
    fn serve(self, agent: Arc<Agent>, store: &Store<Replicated>, stop: CancellationToken) {
        let (sender, connections) = mpsc::channel(RAFT_CONNECTIONS_WAITING_MAX);
        tokio::spawn(serve_raft(store.clone(), connections));
        tokio::spawn(self.unix.serve(router(agent.clone()), stop.clone()));
        tokio::spawn(self.peers.serve(router(agent.clone()), sender, stop.clone()));
        tokio::spawn(self.api.serve(router(agent), stop));
    }
}

async fn serve_raft(store: Store<Replicated>, mut connections: mpsc::Receiver<RaftConnection>) {
    while let Some(RaftConnection { peer, stream }) = connections.recv().await {
        let store = store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.serve(Box::new(stream), peer.as_str()).await {
                tracing::debug!(%peer, %error, "a peer's connection to the store has ended");
            }
        });
    }
}

fn make_directory(path: &std::path::Path) -> Result<(), AgentError> {
    std::fs::create_dir_all(path).map_err(|source| AgentError::Directory { path: path.to_owned(), source })
}

fn clamp(ms: u64) -> u32 {
    u32::try_from(ms).unwrap_or(u32::MAX)
}
