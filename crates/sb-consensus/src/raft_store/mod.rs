//! The embedded Raft backend: one directory, one thread, two connections to each peer.

mod backend;
mod config;
pub(crate) mod disk;
mod driver;
mod inbox;
mod recover;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::limits::{CLUSTER_BYTES_MAX, INBOX_MAX};
use crate::replica::{Disk, DiskContent, Replica, ReplicaSettings};
use crate::transport::{AddressBook, Peers};
use crate::{Connector, Member, OpenError, StateMachine, Store};

use self::backend::RaftBackend;
use self::disk::{Directory, FileDisk, Identity};
use self::driver::{Driver, Outlets, into_store_health};

pub use config::{ConfigError, FatalDiskError, MakeRoom, OnFatalDisk, RaftConfig, Room, Timings};
pub use disk::holds_log;
pub use recover::{RecoverError, Recovered};

/// Opens stores on embedded Raft. Both ways must be called within a tokio runtime.
pub struct RaftStore<S> {
    machine: PhantomData<fn() -> S>,
}

impl<S: StateMachine> RaftStore<S> {
    /// Starts a new group whose only voter is this server. Done once in the life of a group, on one server,
    /// explicitly. After a crash half-way [`holds_log`] says whether to do it again or to [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// [`OpenError::AlreadyBootstrapped`] when the directory holds a log or a snapshot.
    pub fn bootstrap(
        config: RaftConfig,
        machine: S,
        connector: Arc<dyn Connector>,
    ) -> Result<Store<S>, OpenError> {
        let directory = enter(&config)?;
        if holds_log(directory.path()) {
            return Err(OpenError::AlreadyBootstrapped { dir: directory.path().to_path_buf() });
        }
        let identity = directory.identify(&config.cluster, &config.name)?;
        let content = Replica::<S, FileDisk>::bootstrap(&own_member(&config, &identity), &machine);
        let disk = FileDisk::create(directory, &content)?.with_room_from(config.make_room.clone());
        start(config, &identity, machine, disk, &content, connector)
    }

    /// Opens an existing directory, or begins an empty one.
    ///
    /// In one without log and snapshot this server is no member, whoever it was before: it has a new id, never
    /// campaigns or votes and has no state until a leader adds it with [`Store::add_learner`] under
    /// [`Store::member`]'s id.
    ///
    /// # Errors
    ///
    /// [`OpenError::Corrupt`] when what is on disk cannot be trusted.
    pub fn open(
        config: RaftConfig,
        machine: S,
        connector: Arc<dyn Connector>,
    ) -> Result<Store<S>, OpenError> {
        let directory = enter(&config)?;
        let goes_on = holds_log(directory.path());
        let identity = directory.identify(&config.cluster, &config.name)?;
        let (disk, content) = if goes_on {
            FileDisk::open(directory)?
        } else {
            let content = DiskContent::default();
            (FileDisk::create(directory, &content)?, content)
        };
        let disk = disk.with_room_from(config.make_room.clone());
        start(config, &identity, machine, disk, &content, connector)
    }
}

/// Checks the configuration and locks the directory.
fn enter(config: &RaftConfig) -> Result<Directory, OpenError> {
    config.timings.validate()?;
    if !(1..=CLUSTER_BYTES_MAX).contains(&config.cluster.len()) {
        return Err(ConfigError::Cluster { bytes: config.cluster.len() }.into());
    }
    let anybody = crate::MemberId::random();
    Member { id: anybody, name: config.name.clone(), address: config.address.clone() }.validate()?;
    Directory::open(&config.dir)
}

fn own_member(config: &RaftConfig, identity: &Identity) -> Member {
    Member { id: identity.id, name: config.name.clone(), address: config.address.clone() }
}

fn start<S: StateMachine, D: Disk>(
    config: RaftConfig,
    identity: &Identity,
    machine: S,
    disk: D,
    content: &DiskContent,
    connector: Arc<dyn Connector>,
) -> Result<Store<S>, OpenError> {
    let member = own_member(&config, identity);
    let settings = settings(&config, member.clone(), identity.start);
    let replica = Replica::open(settings, machine, disk, content, rand::random)?;
    let (inbox, inputs) = sync_channel(INBOX_MAX);
    // What the log holds beyond the snapshot is carried out by the thread. Before that this is no state to go by.
    let (applied_in, applied) = watch::channel(crate::Applied { index: 0, ..replica.view() });
    let (health_in, health) =
        watch::channel(into_store_health(replica.health(), u64::from(config.timings.tick_ms)));
    let book = Arc::new(AddressBook::default());
    let patience = Duration::from_millis(u64::from(config.timings.election_max_ms));
    let cluster = config.cluster.clone();
    let runtime = Handle::current();
    let mut network =
        Peers::new(runtime, connector, cluster.clone(), member.clone(), Arc::clone(&book), patience);
    network.keep(replica.membership());
    let driver = Driver {
        replica,
        network,
        inbox: inputs,
        outlets: Outlets { applied: applied_in, health: health_in },
        timings: config.timings,
        on_fatal_disk: config.on_fatal_disk,
        proposals: BTreeMap::new(),
        reads: BTreeMap::new(),
        health_at: Instant::now(),
        stopping: None,
    };
    let thread = std::thread::Builder::new().name("sb-raft".into());
    let spawned = thread.spawn(move || driver.run());
    spawned.map_err(|source| OpenError::Io {
        what: "start the Raft thread for",
        path: config.dir,
        source,
    })?;
    Ok(Store::new(RaftBackend { cluster, member, inbox, applied, health, book }))
}

fn settings(config: &RaftConfig, member: Member, start: u64) -> ReplicaSettings {
    let timings = config.timings;
    ReplicaSettings {
        member,
        start,
        heartbeat_ticks: timings.ticks(timings.heartbeat_ms),
        election_min_ticks: timings.ticks(timings.election_min_ms),
        election_max_ticks: timings.ticks(timings.election_max_ms),
        snapshot_every_entries: config.snapshot_every_entries.max(1),
        log_tail_entries: config.log_tail_entries,
    }
}
