//! The etcd backend: one key holds everything, and changes by compare-and-set only.
//!
//! The key is `/show-build/CLUSTER/anchor`, its value the [whole record](anchor::Anchor): state machine, membership,
//! and the answers kept for retries. A change is carried out here on the newest version known, and put into etcd in a
//! transaction that names this version's revision. Where another was faster the transaction does nothing and returns
//! what is there; where its answer is lost it is repeated as it is, and the record tells whether the first attempt
//! counted. So a request takes effect once, however often it was sent.
//!
//! Every member watches the key, and looks at it each half second, linearizable: etcd asks a quorum. A watch may skip
//! versions, which no user of this crate can tell from states in quick succession. etcd's leases and its clock are
//! never used: a lease is a matter of the record, and time that of whoever waits.
//!
//! etcd is spoken to over its JSON gateway (`docs/adr/2026-11-23-etcd-backend.md`).

mod anchor;
mod backend;
mod config;
mod follower;
mod gateway;
mod identity;
mod mirror;
mod patience;
mod proposer;
mod running;

use std::marker::PhantomData;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::limits::{CLUSTER_BYTES_MAX, INBOX_MAX, PROPOSALS_IN_FLIGHT_MAX, READS_IN_FLIGHT_MAX};
use crate::{ConfigError, Member, OpenError, Role, StateMachine, Store};

use self::anchor::Founding;
use self::backend::EtcdBackend;
use self::follower::Beginning;
use self::gateway::Gateway;
use self::identity::Identity;
use self::mirror::{Doubt, Mirror};
use self::proposer::{Ask, Proposer};
use self::running::Running;

pub use config::{EtcdConfig, EtcdEndpoint, EtcdEndpointError, EtcdLogin, EtcdTls};
pub use identity::belongs_to_etcd;

/// Opens stores whose state is in an etcd cluster. Both ways must be called within a tokio runtime, and return before
/// etcd has answered: it is asked for ever.
///
/// Members are admitted by whoever may write the key; a member may add itself. Nobody leads, so
/// [`Store::transfer_leadership`] and [`Store::serve`] are refused; a vote has no meaning beyond its name.
pub struct EtcdStore<S> {
    machine: PhantomData<fn() -> S>,
}

impl<S: StateMachine> EtcdStore<S> {
    /// Starts a new group with this server as its first member, unless etcd has one of this name already: then this
    /// server is no member until it is added.
    ///
    /// # Errors
    ///
    /// [`OpenError::AlreadyBootstrapped`] when the directory is that of a member which has seen its group.
    pub fn bootstrap(config: EtcdConfig, machine: S) -> Result<Store<S>, OpenError> {
        if belongs_to_etcd(&config.dir) {
            return Err(OpenError::AlreadyBootstrapped { dir: config.dir });
        }
        start(config, machine, Beginning::Founds(Founding::random()))
    }

    /// Goes on as the member that the directory is of, or as a new one that is no member until it is added.
    ///
    /// # Errors
    ///
    /// [`OpenError::Corrupt`] when the directory does not tell who this member is.
    pub fn open(config: EtcdConfig, machine: S) -> Result<Store<S>, OpenError> {
        start(config, machine, Beginning::Joins)
    }
}

fn start<S: StateMachine>(
    config: EtcdConfig,
    machine: S,
    beginning: Beginning,
) -> Result<Store<S>, OpenError> {
    if !(1..=CLUSTER_BYTES_MAX).contains(&config.cluster.len()) {
        return Err(ConfigError::Cluster { bytes: config.cluster.len() }.into());
    }
    if config.endpoints.is_empty() {
        return Err(OpenError::NoEtcdEndpoint);
    }
    let key = format!("/show-build/{}/anchor", config.cluster);
    let anybody = crate::MemberId::random();
    let mut me = Member { id: anybody, name: config.name.clone(), address: config.address.clone() };
    me.validate()?;
    let identity = Identity::open(&config.dir, &config.cluster, &config.name)?;
    me.id = identity.member();
    let gateway = Gateway::new(key.clone(), &config, identity.belongs().map(|group| group.etcd))?;
    let mirror = Mirror::new(me.clone(), config.cluster, identity, machine);
    let shared = Arc::new(Running::new(me, key, gateway, mirror));
    let (inbox, asks) = mpsc::channel(INBOX_MAX);
    let stop = CancellationToken::new();
    let task = tokio::spawn(run(Arc::clone(&shared), asks, beginning, stop.clone()));
    Ok(Store::new(EtcdBackend {
        shared,
        inbox,
        in_flight: Semaphore::new(PROPOSALS_IN_FLIGHT_MAX),
        reads_in_flight: Semaphore::new(READS_IN_FLIGHT_MAX),
        stop,
        _task: AbortOnDropHandle::new(task),
    }))
}

/// One task for everything that a member does by itself.
async fn run<S: StateMachine>(
    shared: Arc<Running<S>>,
    asks: mpsc::Receiver<Ask>,
    beginning: Beginning,
    stop: CancellationToken,
) {
    let mut farewell = Farewell { shared: Arc::clone(&shared), doubt: None };
    let doubt: Doubt = tokio::select! {
        () = stop.cancelled() => return,
        doubt = Proposer::new(Arc::clone(&shared), asks).run() => doubt,
        doubt = follower::look(Arc::clone(&shared), beginning) => doubt,
        doubt = follower::follow(Arc::clone(&shared)) => doubt,
        () = follower::look_around(shared) => return,
    };
    tracing::error!(error = &doubt as &dyn std::error::Error, "the store stops: this replica doubts itself");
    farewell.doubt = Some(doubt.to_string());
}

/// Says that the store has stopped, whatever happens to the task.
struct Farewell<S: StateMachine> {
    shared: Arc<Running<S>>,
    doubt: Option<String>,
}

impl<S: StateMachine> Drop for Farewell<S> {
    fn drop(&mut self) {
        let panicked = std::thread::panicking().then(|| "the task of the etcd store panicked".to_owned());
        let failure = self.doubt.take().or(panicked);
        self.shared.health.send_modify(|health| {
            health.role = Role::Stopped;
            health.leader = None;
            health.failure = failure;
        });
    }
}
