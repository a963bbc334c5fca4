//! Carries out the machine's operations, one at a time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;

use sb_client::state::Secrets;
use sb_consensus::Applied;
use sb_failover::{ClusterRecord, Command, Event, OpFailure, OpId, OpOutput};
use sb_pgrepl::{ClientAccess, Desired, Instance};
use sb_topology::{Server, ServerName, Topology};
use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::desired;
use crate::packet_fence::PacketFence;
use crate::guard_link::GuardLink;
use crate::journal::Journal;
use crate::persisted::Memory;

/// Pause between two attempts to prove that no process of PostgreSQL is left, in milliseconds.
const PROOF_RETRY_MS: u64 = 200;

/// Longest wait for one proof, in milliseconds; then it is asked for again.
const PROOF_MS_MAX: u64 = 5_000;

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
    /// Where operations report their end.
    pub events: mpsc::Sender<Event>,
    /// For what people may want to know.
    pub journal: Arc<Journal>,
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

    /// Begins the operation of `command`; its end is reported as an event. A fence ends every other operation.
    pub fn begin(&self, op: OpId, command: Command) {
        let token = CancellationToken::new();
        if let Command::Fence { .. } = command {
            self.cancel_current();
        }
        *self.current.lock().expect("nothing panics while it is held") = Some((op, token.clone()));
        let driver = self.clone();
        tokio::spawn(async move {
            let result = tokio::select! {
                result = driver.carry_out(command) => result,
                () = token.cancelled() => Err(OpFailure::Cancelled),
            };
            driver.nudge.notify_one();
            let _ = driver.config.events.send(Event::Done { op, result }).await;
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

    async fn carry_out(&self, command: Command) -> Result<OpOutput, OpFailure> {
        if let Command::Fence { .. } = command {
            return self.fence().await;
        }
        let _work = self.work.lock().await;
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
            Command::Promote { term, limit, .. } => self.promote(term, limit).await,
            Command::OpenClients { .. } => self.open_clients().await,
            Command::SetSyncStandbys { sync, .. } => self.set_sync_standbys(&sync).await,
            Command::Repair { source, reason, .. } => self.repair(&source, reason).await,
            Command::InitDb { .. } => self.init_db().await,
            Command::Fence { .. }
            | Command::Propose { .. }
            | Command::ArmGuard { .. }
            | Command::Disarm { .. }
            | Command::Cancel { .. }
            | Command::Journal(_) => unreachable!("these are no operations on PostgreSQL"),
        }
    }

    /// Kills until it is proven that nothing is left: there is no other way out of a fence.
    async fn fence(&self) -> Result<OpOutput, OpFailure> {
        self.config.fence.close().await;
        loop {
            let killed = match self.config.guard.client() {
                Ok(client) => client.kill_all(Duration::from_millis(PROOF_MS_MAX)).await.map_err(Into::into),
                Err(missing) => Err(missing),
            };
            match killed {
                Ok(proof) => {
                    tracing::info!(took_ms = proof.took_ms, "no process of PostgreSQL is left");
                    return Ok(OpOutput::Nothing);
                }
                Err(error) => tracing::warn!(%error, "no proof yet that PostgreSQL is gone"),
            }
            tokio::time::sleep(Duration::from_millis(PROOF_RETRY_MS)).await;
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
            access,
        )
        .map_err(|error| failed(&error))
    }

    /// Lets clients in or keeps them out, from the next configuration on.
    pub(super) fn set_access(&self, access: ClientAccess) {
        *self.access.lock().expect("nothing panics while it is held") = access;
    }

    /// `source` as something to stream from.
    pub(super) fn upstream(&self, source: &ServerName, slot: desired::Slot) -> Result<sb_pgrepl::Upstream, OpFailure> {
        let found = desired::upstream(&self.config.topology, source, &self.config.me.name, slot);
        let unknown = || OpFailure::Failed { detail: format!("`{source}` has no PostgreSQL in the topology") };
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
