//! Carries out the machine's operations, one at a time.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex as StdMutex};

use sb_client::state::Secrets;
use sb_consensus::Applied;
use sb_failover::{ClusterRecord, Command, OpFailure, OpId, OpOutput};
use sb_pgrepl::{ClientAccess, Desired, Instance};
use sb_topology::{Server, ServerName, Topology};
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::desired;
use super::vain_starts::VainStarts;
use crate::guard_link::GuardLink;
use crate::journal::Journal;
use crate::packet_fence::PacketFence;
use crate::persisted::Memory;
use crate::teller::Teller;
use crate::troubles::Troubles;

/// What a driver needs.
pub struct DriverConfig {
    /// This server.
    pub me: Server,
    /// The topology in force.
    pub topology: Arc<Topology>,
    /// Passwords.
    pub secrets: Secrets,
    /// PostgreSQL's settings of the operator's choice.
    pub settings: BTreeMap<String, String>,
    /// Mesh addresses of people's machines that may enter the mesh.
    pub operators: Vec<IpAddr>,
    /// The data directory.
    pub data_dir: PathBuf,
    /// PostgreSQL on this server.
    pub instance: Instance,
    /// PostgreSQL's parent.
    pub guard: GuardLink,
    /// The second fence.
    pub fence: PacketFence,
    /// Phase and promise.
    pub memory: Memory,
    /// The cluster's record.
    pub record: watch::Receiver<Applied<Arc<ClusterRecord>>>,
    /// Where operations tell their end.
    pub teller: Arc<Teller>,
    /// For what people may want to know.
    pub journal: Arc<Journal>,
    /// What is wrong here.
    pub troubles: Arc<Troubles>,
}

/// The hands of the failover machine. Cheap to clone.
#[derive(Clone)]
pub struct Driver {
    pub(super) config: Arc<DriverConfig>,
    /// Held by whoever works on PostgreSQL: operations of one instance must not overlap.
    pub(super) work: Arc<Mutex<()>>,
    current: Arc<StdMutex<Option<(OpId, CancellationToken)>>>,
    access: Arc<StdMutex<ClientAccess>>,
    nudge: Arc<Notify>,
    /// Ended by the next operation: it reloads PostgreSQL, and no operation may find half of its files loaded.
    pub(super) hastening: Arc<StdMutex<Option<AbortHandle>>>,
    pub(super) vain_starts: VainStarts,
}

impl Driver {
    /// A driver; nothing is done yet.
    #[must_use]
    pub fn new(config: DriverConfig) -> Self {
        Self {
            config: Arc::new(config),
            work: Arc::default(),
            current: Arc::default(),
            access: Arc::new(StdMutex::new(ClientAccess::Open)),
            nudge: Arc::default(),
            hastening: Arc::default(),
            vain_starts: VainStarts::default(),
        }
    }

    /// PostgreSQL on this server.
    #[must_use]
    pub fn instance(&self) -> &Instance {
        &self.config.instance
    }

    /// Returns when an operation has ended since the last call.
    pub async fn ended(&self) {
        self.nudge.notified().await;
    }

    /// Begins the operation of `command`; its end is told to the machine. A fence ends every other operation.
    ///
    /// A cancelled operation is told as such at once, but works on to its end behind the lock: half of its file
    /// operations may be under way, and nothing else may touch the data directory before they are done. A repair,
    /// which may take hours and does its work in child processes, is dropped instead, and they with it.
    pub fn begin(&self, op: OpId, command: Command) {
        if let Command::Fence { .. } = command {
            self.cancel_current();
        }
        let token = CancellationToken::new();
        *self.current.lock().expect("nothing panics while it is held") = Some((op, token.clone()));
        let (driver, fences) = (self.clone(), self.config.guard.fences());
        let droppable = matches!(command, Command::Repair { .. });
        tokio::spawn(async move {
            let (worker, given_up) = (driver.clone(), token.clone());
            let mut work = tokio::spawn(async move { worker.carry_out(command, fences, &given_up).await });
            let result = tokio::select! {
                ended = &mut work => ended.unwrap_or_else(|panic| Err(failed(&panic))),
                () = token.cancelled() => {
                    if droppable {
                        work.abort();
                    }
                    Err(OpFailure::Cancelled)
                }
            };
            driver.nudge.notify_one();
            driver.config.teller.ended(op, result).await;
        });
    }

    /// Gives the operation up, if it is under way.
    pub fn cancel(&self, op: OpId) {
        let current = self.current.lock().expect("nothing panics while it is held");
        if let Some((under_way, token)) = current.as_ref()
            && *under_way == op
        {
            token.cancel();
        }
    }

    fn cancel_current(&self) {
        let current = self.current.lock().expect("nothing panics while it is held");
        if let Some((_, token)) = current.as_ref() {
            token.cancel();
        }
    }

    async fn carry_out(
        &self,
        command: Command,
        fences: u64,
        given_up: &CancellationToken,
    ) -> Result<OpOutput, OpFailure> {
        if let Command::Fence { .. } = command {
            tokio::join!(self.config.guard.fence(), self.config.fence.close());
            return Ok(OpOutput::Nothing);
        }
        let _work = self.work.lock().await;
        // Given up while it waited for its turn: it has touched nothing and must not begin.
        if given_up.is_cancelled() {
            return Err(OpFailure::Cancelled);
        }
        self.config.guard.works_since(fences);
        if let Some(hastening) = self.hastening.lock().expect("nothing panics while it is held").take() {
            hastening.abort();
        }
        match command {
            Command::StartPrimary { term, sync, .. } => self.start_primary(term, &sync).await,
            Command::StartStandby { upstream, .. } => self.start_standby(upstream.as_ref()).await,
            Command::StopPostgres { limit, .. } => self.stop_for_transfer(limit).await,
            Command::Follow { upstream, .. } => self.follow(upstream.as_ref()).await,
            Command::StorePromise { promise, .. } => {
                self.remember(move |memory| memory.store_promise(&promise)).await
            }
            Command::Persist { phase, .. } => self.remember(move |memory| memory.store_phase(&phase)).await,
            Command::Freeze { .. } => self.freeze().await,
            Command::Fetch { source, until, limit, .. } => self.fetch(&source, &until, limit).await,
            Command::Promote { term, timeline, limit, .. } => self.promote(term, timeline, limit).await,
            Command::OpenClients { .. } => self.open_clients().await,
            Command::SetSyncStandbys { sync, .. } => self.set_sync_standbys(&sync).await,
            Command::Repair { source, reason, .. } => self.repair(&source, reason).await,
            Command::InitDb { .. } => self.init_db().await,
            Command::Fence { .. }
            | Command::Propose { .. }
            | Command::ArmGuard { .. }
            | Command::Disarm { .. }
            | Command::Cancel { .. }
            | Command::Journal(_)
            | Command::AskFailsafe { .. }
            | Command::AnswerFailsafe { .. }
            | Command::StoreFailsafe { .. } => unreachable!("these are no operations on PostgreSQL"),
        }
    }

    async fn remember<F, E>(&self, store: F) -> Result<OpOutput, OpFailure>
    where
        F: FnOnce(&Memory) -> Result<(), E> + Send + 'static,
        E: std::error::Error + Send + Sync + 'static,
    {
        let memory = self.config.memory.clone();
        let stored = tokio::task::spawn_blocking(move || store(&memory)).await;
        match stored.expect("writing a small file does not panic") {
            Ok(()) => Ok(OpOutput::Nothing),
            Err(error) => Err(failed(&error)),
        }
    }

    /// The configuration for the clients' present access.
    pub(super) fn desired(&self) -> Result<Desired, OpFailure> {
        let config = &self.config;
        let access = *self.access.lock().expect("nothing panics while it is held");
        let system_identifier = config.record.borrow().view.system_identifier;
        desired::desired(
            &config.topology,
            &config.me,
            system_identifier,
            &config.settings,
            &config.data_dir,
            (access, &config.operators),
        )
        .map_err(|error| failed(&error))
    }

    /// Lets clients in or keeps them out, from the next configuration on.
    pub(super) fn set_access(&self, access: ClientAccess) {
        *self.access.lock().expect("nothing panics while it is held") = access;
    }

    /// `source` as something to stream from.
    pub(super) fn upstream(
        &self,
        source: &ServerName,
        slot: desired::Slot,
    ) -> Result<sb_pgrepl::Upstream, OpFailure> {
        let found = desired::upstream(&self.config.topology, source, &self.config.me.name, slot);
        let unknown =
            || OpFailure::Failed { detail: format!("`{source}` has no PostgreSQL in the topology") };
        found.ok_or_else(unknown)
    }

    /// Whether `server` holds the lease by the own replica: only then does it keep a slot for this server.
    pub(super) fn slot_of(&self, server: &ServerName) -> desired::Slot {
        let record = self.config.record.borrow();
        let holder = record.view.lease.as_ref().is_some_and(|lease| lease.holder == *server);
        if holder { desired::Slot::Kept } else { desired::Slot::None }
    }
}

/// An error with its causes, as the end of an operation.
pub(super) fn failed(error: &(dyn std::error::Error + 'static)) -> OpFailure {
    OpFailure::Failed { detail: chain(error) }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
