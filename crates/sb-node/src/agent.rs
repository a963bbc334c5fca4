//! The agent of one server, put together.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sb_client::API_PORT;
use sb_client::state::{Identity, Secrets, Tokens};
use sb_client::trust::Credentials;
use sb_consensus::Store;
use sb_failover::{Machine, State};
use sb_pgrepl::{Instance, InstanceConfig, Programs, RunAs, TlsFiles};
use sb_topology::{PostgresPlacement, Server, ServerName, Topology};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::failsafe_line::FailsafeLine;
use crate::guard_link::GuardLink;
use crate::health_ports::{answer_agent_check, answer_checks};
use crate::http::{ApiListener, PeerListener, RaftConnection, UnixListener, router};
use crate::journal::{Entry, Journal};
use crate::machine_config::machine_config;
use crate::membership::{Membership, peer_address};
use crate::mesh::{Knowledge, Mesh, Surroundings};
use crate::operations::Operations;
use crate::packet_fence::PacketFence;
use crate::peers::Peers;
use crate::persisted::Memory;
use crate::postgres::{Driver, DriverConfig, Housekeeping, Seen, Watcher, collations, home};
use crate::proxy::ProxyLine;
use crate::recovery::branch::{self, BranchWatch};
use crate::recovery::carry_out;
use crate::replicated::Replicated;
use crate::reserve::Reserve;
use crate::runtime::{EVENTS_WAITING_MAX, Runtime};
use crate::storage_probe::StorageProbe;
use crate::store::StoreOpening;
use crate::teller::Teller;
use crate::trace::Trace;
use crate::troubles::Troubles;
use crate::view::{Agent, RecoveryLine};
use crate::{AgentError, Layout, boottime, topology_copy};

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

/// Runs the agent until `stop`. PostgreSQL goes on afterwards under the guard, until the lease ends.
///
/// # Errors
/// When it cannot begin.
pub async fn run(config: AgentConfig, stop: CancellationToken) -> Result<(), AgentError> {
    let base = Base::load(&config)?;
    let mesh = base.bring_the_mesh_up().await?;
    let opening = base.opening();
    carry_out(&opening, &stop).await?;
    branch::leave(&opening).await?;
    if stop.is_cancelled() {
        return Ok(());
    }
    let store = opening.open(&base.data_dir()).await?;
    base.journal.record(Entry::new("agent.started", "the agent has started"));
    let listeners = base.listen().await?;
    let mut parts = Parts::default();
    let knowledge = mesh.as_ref().map(Mesh::knowledge);
    if let Some(mesh) = mesh {
        base.begin_mesh(mesh, &store, &mut parts, &stop);
    }
    let agent = base.assemble(&config, store.clone(), knowledge, &mut parts, &stop).await?;
    agent.proxy_parts(&stop).into_iter().for_each(|(name, part)| parts.begin(name, part));
    listeners.serve(agent, &store, &mut parts, &stop);
    let ended = parts.until_one_ends(&stop).await;
    stop.cancel();
    let _ = tokio::time::timeout(Duration::from_millis(STORE_STOP_MS_MAX), store.shutdown()).await;
    base.journal.record(Entry::new("agent.stopped", "the agent has stopped; PostgreSQL is with the guard"));
    ended
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
    troubles: Arc<Troubles>,
    reserve: Reserve,
    memory: Memory,
}

impl Base {
    fn load(config: &AgentConfig) -> Result<Self, AgentError> {
        let layout = config.layout.clone();
        make_directory(layout.state_dir())?;
        make_directory(layout.run_dir())?;
        let reserve = Reserve::open(layout.reserve_file());
        let identity = Identity::load(layout.state_dir())?;
        let credentials = Arc::new(Credentials::load(&layout.tls_dir())?);
        let secrets = Secrets::load(layout.state_dir())?;
        let tokens = Arc::new(Tokens::load(layout.state_dir())?);
        let journal = Arc::new(Journal::open(&layout.journal_file(), identity.server.as_str())?);
        let topology = Arc::new(topology_copy::at_boot(&layout, &journal)?);
        let unknown = || AgentError::UnknownServer { server: identity.server.clone() };
        let me = topology.server(&identity.server).ok_or_else(unknown)?.clone();
        let memory = Memory::new(&layout, reserve.clone());
        Ok(Self {
            layout,
            identity,
            credentials,
            secrets,
            tokens,
            topology,
            me,
            journal,
            troubles: Arc::default(),
            reserve,
            memory,
        })
    }

    fn opening(&self) -> StoreOpening<'_> {
        StoreOpening {
            layout: &self.layout,
            identity: &self.identity,
            me: &self.me,
            topology: &self.topology,
            credentials: &self.credentials,
            journal: &self.journal,
            reserve: &self.reserve,
        }
    }

    /// Everything listens on the mesh address, so it has to be there first. Where the topology names no key for this
    /// server, the address is somebody else's to provide.
    async fn bring_the_mesh_up(&self) -> Result<Option<Mesh>, AgentError> {
        let settings = topology_copy::network_settings(&self.layout, &self.topology, &self.journal);
        let (journal, troubles) = (self.journal.clone(), self.troubles.clone());
        let own = &self.me.name;
        Ok(Mesh::bring_up(&self.layout, &self.topology, &settings, own, journal, troubles).await?)
    }

    fn begin_mesh(&self, mesh: Mesh, store: &Store<Replicated>, parts: &mut Parts, stop: &CancellationToken) {
        let surroundings = Surroundings {
            store: store.clone(),
            topology: self.topology.clone(),
            own: self.me.name.clone(),
            credentials: self.credentials.clone(),
        };
        for (name, part) in mesh.into_parts(&surroundings, stop) {
            parts.begin(name, part);
        }
    }

    async fn listen(&self) -> Result<Listeners, AgentError> {
        let peers =
            PeerListener::bind(peer_address(&self.me), Arc::new(self.credentials.peer_server_config()?));
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
        mesh: Option<Knowledge>,
        parts: &mut Parts,
        stop: &CancellationToken,
    ) -> Result<Arc<Agent>, AgentError> {
        let (sender, events) = mpsc::channel(EVENTS_WAITING_MAX);
        let fence = PacketFence::open(self.me.postgres.port()).await;
        let teller = Arc::new(Teller::new(sender.clone()));
        let guard = GuardLink::spawn(
            self.layout.run_dir().to_owned(),
            teller.clone(),
            fence.clone(),
            self.journal.clone(),
        );
        let driver = match self.me.has_postgres() {
            true => Some(self.driver(config, &store, &guard, (&fence, mesh.as_ref()), &teller)?),
            false => None,
        };
        let (machine, trace) = self.machine(&store)?;
        let (state, state_seen) = watch::channel(State::Starting);
        let (turn, turn_seen) = watch::channel(None);
        if driver.is_some() {
            self.watch_storage(&teller, parts, stop)?;
        }
        let seen = watch_postgres(driver.clone(), &guard, teller, &state_seen, parts, stop);
        let operations = Operations::open(self.layout.state_dir().join("operations.json"));
        operations.note_withdrawn(&store.watch().borrow().view.branch);
        let (topology, me, credentials) = (&self.topology, &self.me, &self.credentials);
        let (membership, kept_out) = self.membership(&store)?;
        let failsafe = FailsafeLine::new(topology.clone(), credentials.clone(), sender.clone());
        let runtime = Runtime {
            machine,
            failsafe: failsafe.clone(),
            memory: self.memory.clone(),
            store: store.clone(),
            guard: guard.clone(),
            driver,
            journal: self.journal.clone(),
            trace,
            events,
            sender,
            state,
            turn,
        };
        parts.begin("the failover machine", runtime.run(stop.clone()));
        parts.begin("the store's membership", membership.run(stop.clone()));
        parts.begin("the memory of operations", operations.clone().follow(store.watch(), stop.clone()));
        remember_keys(mesh.as_ref(), &me.name, &operations, parts, stop);
        self.begin_upkeep(&store, parts, stop);
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
            peers: Peers::spawn(topology, &me.name, credentials.clone(), stop.clone()),
            operations,
            failsafe,
            mesh,
            troubles: self.troubles.clone(),
            proxy: Arc::new(ProxyLine::new(topology, &me.name, credentials)),
            recovery: RecoveryLine {
                layout: self.layout.clone(),
                memory: self.memory.clone(),
                kept_out,
                stop: stop.clone(),
            },
        }))
    }

    /// The failover machine of this run, and where its inputs are recorded.
    fn machine(&self, store: &Store<Replicated>) -> Result<(Machine, Trace), AgentError> {
        let session = self.memory.begin_session()?;
        let config = machine_config(&self.topology, &self.me, &self.identity, store, session);
        config.timings.check()?;
        let machine = Machine::new(config, self.memory.recall()?, boottime::now());
        Ok((machine, Trace::open(&self.layout.trace_dir())))
    }

    /// The upkeep of the store's membership, and what tells why it keeps this server out.
    fn membership(
        &self,
        store: &Store<Replicated>,
    ) -> Result<(Membership, watch::Receiver<Option<String>>), AgentError> {
        Ok(Membership::new(
            store.clone(),
            self.topology.clone(),
            self.me.clone(),
            self.identity.cluster_id.clone(),
            self.credentials.clone(),
            branch::Heard::read(&self.layout)?.generation,
        ))
    }

    /// What goes on beside the machine.
    fn begin_upkeep(&self, store: &Store<Replicated>, parts: &mut Parts, stop: &CancellationToken) {
        let copy = topology_copy::keep(self.layout.clone(), &self.me, &self.topology, store, stop);
        parts.begin("the copy of the topology", copy);
        let keeping = self.reserve.clone();
        let keeping = keeping.keep(self.journal.clone(), self.troubles.clone(), stop.clone());
        parts.begin("the reserve on the disk", keeping);
        parts.begin("the store", until_failed(store.clone()));
        parts.begin("the watch for a newer store", self.branch_watch(store, stop).run());
    }

    fn branch_watch(&self, store: &Store<Replicated>, stop: &CancellationToken) -> BranchWatch {
        BranchWatch {
            store: store.clone(),
            layout: self.layout.clone(),
            topology: self.topology.clone(),
            me: self.me.clone(),
            credentials: self.credentials.clone(),
            journal: self.journal.clone(),
            stop: stop.clone(),
        }
    }

    fn driver(
        &self,
        config: &AgentConfig,
        store: &Store<Replicated>,
        guard: &GuardLink,
        (fence, mesh): (&PacketFence, Option<&Knowledge>),
        teller: &Arc<Teller>,
    ) -> Result<Driver, AgentError> {
        Ok(Driver::new(DriverConfig {
            me: self.me.clone(),
            topology: self.topology.clone(),
            secrets: self.secrets.clone(),
            settings: config.postgres_settings.clone(),
            operators: mesh.map(|mesh| mesh.operators.clone()).unwrap_or_default(),
            data_dir: self.data_dir(),
            instance: self.instance(config)?,
            guard: guard.clone(),
            fence: fence.clone(),
            memory: self.memory.clone(),
            record: store.watch(),
            teller: teller.clone(),
            journal: self.journal.clone(),
            troubles: self.troubles.clone(),
        }))
    }

    fn watch_storage(
        &self,
        teller: &Arc<Teller>,
        parts: &mut Parts,
        stop: &CancellationToken,
    ) -> Result<(), AgentError> {
        let (journal, troubles) = (self.journal.clone(), self.troubles.clone());
        let probe = StorageProbe::begin(self.data_dir(), teller.clone(), journal, troubles);
        parts.begin("the watch on the disk", probe.map_err(AgentError::Thread)?.run(stop.clone()));
        Ok(())
    }

    fn data_dir(&self) -> PathBuf {
        match &self.me.postgres {
            PostgresPlacement::Here { data_dir: Some(dir), .. } => dir.clone(),
            PostgresPlacement::Here { data_dir: None, .. } | PostgresPlacement::Nowhere => {
                self.layout.data_dir()
            }
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
}

/// What an agent consists of. Each part runs until the agent stops; one that ends before takes the agent with it.
#[derive(Default)]
struct Parts {
    running: JoinSet<&'static str>,
}

impl Parts {
    fn begin(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn(async move {
            part.await;
            name
        });
    }

    async fn until_one_ends(&mut self, stop: &CancellationToken) -> Result<(), AgentError> {
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            ended = self.running.join_next() => ended,
        };
        match ended {
            _ if stop.is_cancelled() => Ok(()),
            Some(Ok(name)) => Err(AgentError::PartEnded { part: name.to_owned() }),
            Some(Err(panic)) => Err(AgentError::PartEnded { part: panic.to_string() }),
            None => Ok(()),
        }
    }
}

/// Begins to look at PostgreSQL and to keep house for it; a witness has nothing to look at.
fn watch_postgres(
    driver: Option<Driver>,
    guard: &GuardLink,
    teller: Arc<Teller>,
    state: &watch::Receiver<State>,
    parts: &mut Parts,
    stop: &CancellationToken,
) -> watch::Receiver<Seen> {
    let Some(driver) = driver else {
        return watch::channel(Seen::default()).1;
    };
    let (watcher, seen) = Watcher::new(driver.clone(), guard.clone(), teller, state.clone());
    parts.begin("the watch on PostgreSQL", watcher.run(stop.clone()));
    let differing = collations::watch(driver.clone(), stop.clone());
    parts.begin("the watch on collations", differing);
    let way_home = home::watch(driver.clone(), seen.clone(), state.clone(), stop.clone());
    parts.begin("the watch on the way home", way_home);
    let housekeeping = Housekeeping::new(driver, state.clone());
    parts.begin("the primary's standing work", housekeeping.run(stop.clone()));
    seen
}

/// How the replacement of the mesh's own key goes on is remembered as an operation.
fn remember_keys(
    mesh: Option<&Knowledge>,
    own: &ServerName,
    operations: &Operations,
    parts: &mut Parts,
    stop: &CancellationToken,
) {
    if let Some(mesh) = mesh {
        let keys = operations.clone().follow_keys(mesh.keys.watch(), stop.clone());
        parts.begin("the memory of keys that are replaced", keys);
        let secrets = operations.clone().follow_preshared(own.clone(), mesh.clone(), stop.clone());
        parts.begin("the memory of preshared keys that are replaced", secrets);
    }
}

/// Ends when the store has failed: without it nothing here can be decided.
async fn until_failed(store: Store<Replicated>) {
    let mut health = store.health();
    let _ = health.wait_for(|health| health.failure.is_some()).await;
}

struct Listeners {
    unix: UnixListener,
    peers: PeerListener,
    api: ApiListener,
}

impl Listeners {
    fn serve(
        self,
        agent: Arc<Agent>,
        store: &Store<Replicated>,
        parts: &mut Parts,
        stop: &CancellationToken,
    ) {
        let (sender, connections) = mpsc::channel(RAFT_CONNECTIONS_WAITING_MAX);
        parts.begin("the store's connections", serve_raft(store.clone(), connections));
        parts.begin("the Unix socket", self.unix.serve(router(agent.clone()), stop.clone()));
        parts.begin("the peer port", self.peers.serve(router(agent.clone()), sender, stop.clone()));
        parts.begin("health checks", answer_checks(agent.clone(), stop.clone()));
        parts.begin("the agent check", answer_agent_check(agent.clone(), stop.clone()));
        parts.begin("the API port", self.api.serve(router(agent), stop.clone()));
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
