//! What happens when the disk or the thread fails, seen from the handle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use async_trait::async_trait;

use crate::replica::{Disk, DiskError, MemoryDisk, Record, Replica, Snapshot};
use crate::{
    BoxedStream, Connector, DiskHealth, Lane, Member, MemberId, OnFatalDisk, ProposeError, RaftConfig,
    ReadError, RestoreError, Role, StateMachine, Store,
};

use super::disk::Identity;

const WITHIN: Duration = Duration::from_secs(10);

/// The request that makes the state machine panic.
const UNLUCKY: u64 = 13;

#[derive(Default)]
struct Sum(u64);

impl StateMachine for Sum {
    type Request = u64;
    type Outcome = u64;
    type View = u64;

    fn apply(&mut self, request: &u64) -> u64 {
        assert_ne!(*request, UNLUCKY, "an unlucky number");
        self.0 += request;
        self.0
    }

    fn view(&self) -> u64 {
        self.0
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.to_le_bytes().to_vec()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.0 = u64::from_le_bytes(bytes.try_into().map_err(RestoreError::new)?);
        Ok(())
    }
}

/// A disk whose fsync can be made to fail.
struct Frail {
    disk: MemoryDisk,
    broken: Arc<AtomicBool>,
}

impl Disk for Frail {
    fn append(&mut self, record: &Record) -> Result<(), DiskError> {
        if self.broken.load(Ordering::SeqCst) {
            let source = std::io::Error::other("input/output error");
            return Err(DiskError::Failed { what: "sync", path: "log".into(), source });
        }
        self.disk.append(record)
    }

    fn replace(&mut self, snapshot: &Snapshot, log: &Record) -> Result<(), DiskError> {
        self.disk.replace(snapshot, log)
    }

    fn condemn(&mut self, reason: &str) {
        self.disk.condemn(reason);
    }
}

/// A disk that lets nothing through before its gate is dropped.
struct Gated {
    disk: MemoryDisk,
    gate: Receiver<()>,
}

impl Disk for Gated {
    fn append(&mut self, record: &Record) -> Result<(), DiskError> {
        let _ = self.gate.recv();
        self.disk.append(record)
    }

    fn replace(&mut self, snapshot: &Snapshot, log: &Record) -> Result<(), DiskError> {
        self.disk.replace(snapshot, log)
    }

    fn condemn(&mut self, reason: &str) {
        self.disk.condemn(reason);
    }
}

struct Nobody;

#[async_trait]
impl Connector for Nobody {
    async fn connect(&self, _member: &Member, _lane: Lane) -> std::io::Result<BoxedStream> {
        Err(std::io::ErrorKind::ConnectionRefused.into())
    }
}

fn begin(disk: impl FnOnce(MemoryDisk) -> Frail, on_fatal_disk: OnFatalDisk) -> Store<Sum> {
    let mut config = RaftConfig::new("test", "unused", "a", "a:1");
    config.on_fatal_disk = on_fatal_disk;
    let identity = Identity { id: MemberId::random(), start: 1 };
    let content = Replica::<Sum, Frail>::bootstrap(&super::own_member(&config, &identity), &Sum::default());
    let disk = disk(MemoryDisk::with(&content));
    super::start(config, &identity, Sum::default(), disk, &content, Arc::new(Nobody)).unwrap()
}

#[tokio::test]
async fn after_a_failed_fsync_the_hook_is_called_and_nothing_is_answered() {
    let (broken, called) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (breaker, caller) = (Arc::clone(&broken), Arc::clone(&called));
    let hook = OnFatalDisk::call(move |error| {
        assert_eq!(error.to_string(), "could not sync `log`");
        caller.store(true, Ordering::SeqCst);
    });
    let store = begin(|disk| Frail { disk, broken }, hook);
    assert_eq!(store.propose(1, WITHIN).await, Ok(1));
    breaker.store(true, Ordering::SeqCst);
    let unknown = store.propose(2, WITHIN).await;
    assert!(matches!(unknown, Err(ProposeError::Ambiguous { .. })), "{unknown:?}");
    let mut health = store.health();
    let stopped = health.wait_for(|health| health.role == Role::Stopped).await.unwrap().clone();
    assert!(matches!(stopped.disk, DiskHealth::Failed { .. }) && stopped.failure.is_some(), "{stopped:?}");
    assert!(called.load(Ordering::SeqCst));
    assert_eq!(store.propose(3, WITHIN).await, Err(ProposeError::Stopped));
}

#[tokio::test]
async fn a_full_disk_acknowledges_nothing_until_there_is_room() {
    let memory = MemoryDisk::default();
    let shared = memory.clone();
    let config = RaftConfig::new("test", "unused", "a", "a:1");
    let identity = Identity { id: MemberId::random(), start: 1 };
    let content =
        Replica::<Sum, MemoryDisk>::bootstrap(&super::own_member(&config, &identity), &Sum::default());
    let snapshot = content.snapshot.clone().unwrap();
    let mut disk = memory;
    disk.replace(&snapshot, &content.log()).unwrap();
    let store = super::start(config, &identity, Sum::default(), disk, &content, Arc::new(Nobody)).unwrap();
    assert_eq!(store.propose(1, WITHIN).await, Ok(1));
    shared.fill();
    let unknown = store.propose(2, Duration::from_millis(300)).await;
    assert_eq!(unknown, Err(ProposeError::Ambiguous { within_ms: 300 }));
    assert_eq!(store.health().borrow().disk, DiskHealth::Full);
    assert_ne!(store.health().borrow().role, Role::Leader);
    shared.clear();
    let mut health = store.health();
    let well = tokio::time::timeout(WITHIN, health.wait_for(|health| health.disk == DiskHealth::Ok));
    well.await.expect("the disk has room again").unwrap();
    assert_eq!(store.propose(4, WITHIN).await, Ok(7), "what was unknown was applied when there was room");
}

#[tokio::test]
async fn no_state_is_told_before_the_log_is_part_of_it() {
    let id = MemberId::random();
    let config = || RaftConfig::new("test", "unused", "a", "a:1");
    let identity = |start| Identity { id, start };
    let founding = super::own_member(&config(), &identity(1));
    let content = Replica::<Sum, MemoryDisk>::bootstrap(&founding, &Sum::default());
    let disk = MemoryDisk::with(&content);
    let before =
        super::start(config(), &identity(1), Sum::default(), disk.clone(), &content, Arc::new(Nobody));
    let before = before.unwrap();
    for part in [2, 3] {
        before.propose(part, WITHIN).await.unwrap();
    }
    before.shutdown().await;

    let content = disk.content().unwrap();
    let (open, gate) = channel();
    let store = super::start(
        config(),
        &identity(2),
        Sum::default(),
        Gated { disk, gate },
        &content,
        Arc::new(Nobody),
    );
    let store = store.unwrap();
    let mut states = store.watch();
    assert_eq!(states.borrow().index, 0, "the snapshot alone is older than what was known before");
    drop(open);
    let first = tokio::time::timeout(WITHIN, states.wait_for(|state| state.index > 0));
    assert_eq!(first.await.expect("the log is replayed").unwrap().view, 5);
}

#[tokio::test]
async fn after_a_panic_the_store_has_failed_and_says_why() {
    let broken = Arc::default();
    let store = begin(|disk| Frail { disk, broken }, OnFatalDisk::abort());
    assert_eq!(store.propose(1, WITHIN).await, Ok(1));
    let unknown = store.propose(UNLUCKY, WITHIN).await;
    assert!(matches!(unknown, Err(ProposeError::Ambiguous { .. })), "{unknown:?}");
    let failure = tokio::time::timeout(WITHIN, store.failed()).await.expect("it says so");
    assert!(failure.starts_with("the Raft thread panicked: ") && failure.contains("unlucky"), "{failure}");
    assert_eq!(store.health().borrow().role, Role::Stopped);
    assert_eq!(store.propose(2, WITHIN).await, Err(ProposeError::Stopped));
    assert_eq!(store.read(WITHIN).await, Err(ReadError::Stopped));
    store.shutdown().await;
}

#[tokio::test]
async fn a_store_that_was_shut_down_has_not_failed() {
    let broken = Arc::default();
    let store = begin(|disk| Frail { disk, broken }, OnFatalDisk::abort());
    assert_eq!(store.propose(1, WITHIN).await, Ok(1));
    store.shutdown().await;
    assert_eq!(store.health().borrow().role, Role::Stopped);
    let failed = tokio::time::timeout(Duration::from_millis(100), store.failed()).await;
    assert!(failed.is_err(), "{failed:?}");
}
