//! What etcd can do to a store that lives in it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sb_consensus::{EtcdConfig, EtcdStore, OpenError, ProposeError, Store};
use support::etcd::Etcd;
use support::{Machine, Outcome, write};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

const WITHIN: Duration = Duration::from_secs(10);
/// What the failover machine gives one proposal.
const PROPOSAL: Duration = Duration::from_millis(1_500);

/// A group of two members on three of etcd.
struct Group {
    etcd: Etcd,
    dirs: [TempDir; 2],
    a: Store<Machine>,
    b: Store<Machine>,
}

impl Group {
    async fn begin() -> Self {
        let (etcd, dirs) =
            (Etcd::start().await, [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
        let a = EtcdStore::bootstrap(etcd.config(dirs[0].path(), "a"), Machine::default()).unwrap();
        let b = EtcdStore::open(etcd.config(dirs[1].path(), "b"), Machine::default()).unwrap();
        b.add_learner(b.member().clone(), WITHIN).await.expect("a member may add itself");
        Self { etcd, dirs, a, b }
    }

    /// Writes until it worked, and says how long that took.
    async fn write_until_done(&self, word: &str) -> Duration {
        let begun = Instant::now();
        while self.a.propose(write(word), PROPOSAL).await.is_err() {
            assert!(begun.elapsed() < WITHIN, "no answer from etcd");
        }
        begun.elapsed()
    }

    async fn b_sees(&self, word: &str) {
        let mut watch = self.b.watch();
        let seen = watch.wait_for(|now| now.view.words.iter().any(|known| known == word));
        tokio::time::timeout(WITHIN, seen).await.expect("seen in time").expect("the store goes on");
    }
}

/// How often a word was written.
async fn count(store: &Store<Machine>, word: &str) -> usize {
    store.read(WITHIN).await.unwrap().words.iter().filter(|known| *known == word).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loss_of_the_member_that_leads_etcd_is_survived() {
    let mut group = Group::begin().await;
    group.a.propose(write("before"), WITHIN).await.unwrap();
    let leader = group.etcd.leader().await;
    group.etcd.kill(leader);
    group.a.propose(write("after"), WITHIN).await.unwrap();
    group.b_sees("after").await;
    assert_eq!(count(&group.b, "after").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_member_of_etcd_delays_one_attempt() {
    let group = Group::begin().await;
    group.a.propose(write("before"), WITHIN).await.unwrap();
    let follower = (group.etcd.leader().await + 1) % 3;
    group.etcd.freeze(follower);
    let mut slowest = Duration::ZERO;
    for n in 0..10 {
        slowest = slowest.max(group.write_until_done(&format!("{n}")).await);
    }
    group.b_sees("9").await;
    group.etcd.thaw(follower);
    // One attempt of 0.6 s at the frozen member, and what the machine's load adds.
    assert!(slowest < Duration::from_millis(2_500), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_while_all_of_etcd_is_frozen_is_answered_when_it_thaws() {
    let group = Group::begin().await;
    group.a.propose(write("before"), WITHIN).await.unwrap();
    (0..3).for_each(|at| group.etcd.freeze(at));
    let refused = group.a.propose(write("meanwhile"), Duration::from_millis(700)).await;
    assert_eq!(refused, Err(ProposeError::Ambiguous { within_ms: 700 }), "nobody knows");
    let store = group.a.clone();
    let waiting = tokio::spawn(async move { store.propose(write("patient"), WITHIN).await });
    (0..3).for_each(|at| group.etcd.thaw(at));
    assert!(matches!(waiting.await.unwrap(), Ok(Outcome::Written(_))));
    assert_eq!(count(&group.b, "patient").await, 1);
    assert!(count(&group.b, "meanwhile").await <= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_that_was_stopped_as_a_whole_goes_on_where_it_was() {
    let mut group = Group::begin().await;
    group.a.propose(write("before"), WITHIN).await.unwrap();
    (0..3).for_each(|at| group.etcd.kill(at));
    let refused = group.a.propose(write("lost"), Duration::from_millis(500)).await;
    assert!(refused.is_err());
    let mut health = group.b.health();
    let away = health.wait_for(|now| now.quorum_contact_age_ms.is_some_and(|age| age > 1_000));
    tokio::time::timeout(WITHIN, away).await.expect("the loss is noticed").unwrap();
    (0..3).for_each(|at| group.etcd.resume_process(at));
    group.etcd.ready().await;
    group.write_until_done("after").await;
    group.b_sees("after").await;
    assert_eq!(count(&group.b, "before").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_missed_what_was_compacted_reads_the_newest() {
    let group = Group::begin().await;
    let gate = Gate::before(&group.etcd, 0).await;
    let dir = tempfile::tempdir().unwrap();
    let c = EtcdStore::open(gate.config(&group.etcd, &dir, "c"), Machine::default()).unwrap();
    c.add_learner(c.member().clone(), WITHIN).await.unwrap();
    gate.close();
    for n in 0..5 {
        group.a.propose(write(format!("{n}")), WITHIN).await.unwrap();
    }
    group.etcd.compact(1).await;
    gate.open();
    let mut watch = c.watch();
    let there = watch.wait_for(|now| now.view.words.len() == 5);
    tokio::time::timeout(WITHIN, there).await.expect("caught up").unwrap();
    group.a.propose(write("next"), WITHIN).await.unwrap();
    let next = watch.wait_for(|now| now.view.words.len() == 6);
    tokio::time::timeout(WITHIN, next).await.expect("goes on watching").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_whose_answer_is_lost_counts_once() {
    let group = Group::begin().await;
    let gate = Gate::before(&group.etcd, 0).await;
    let dir = tempfile::tempdir().unwrap();
    let c = EtcdStore::open(gate.config(&group.etcd, &dir, "c"), Machine::default()).unwrap();
    c.add_learner(c.member().clone(), WITHIN).await.unwrap();
    for n in 0..5 {
        gate.lose_next_answer();
        let outcome = c.propose(write(format!("word {n}")), WITHIN).await.unwrap();
        assert_eq!(outcome, Outcome::Written(n + 1), "each once, in order");
        assert!(gate.lost_it(), "an answer was lost on the way");
    }
    for n in 0..5 {
        assert_eq!(count(&group.a, &format!("word {n}")).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_is_the_same_after_a_restart_and_its_old_requests_stay_answered() {
    let group = Group::begin().await;
    let id = group.b.member().id;
    group.b.propose(write("by b"), WITHIN).await.unwrap();
    group.b.shutdown().await;
    let Group { etcd, dirs, a, b } = group;
    drop(b);
    let again = loop {
        match EtcdStore::open(etcd.config(dirs[1].path(), "b"), Machine::default()) {
            Ok(store) => break store,
            Err(OpenError::Locked { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(again.member().id, id);
    assert_eq!(again.propose(write("by b again"), WITHIN).await, Ok(Outcome::Written(2)));
    assert_eq!(count(&a, "by b").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_groups_share_one_etcd_and_two_founders_make_one_group() {
    let group = Group::begin().await;
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut other = group.etcd.config(dirs[0].path(), "a");
    other.cluster = "other".into();
    let other = EtcdStore::bootstrap(other, Machine::default()).unwrap();
    other.propose(write("theirs"), WITHIN).await.unwrap();
    assert_eq!(count(&group.a, "theirs").await, 0);

    let late = EtcdStore::bootstrap(group.etcd.config(dirs[1].path(), "c"), Machine::default()).unwrap();
    late.add_learner(late.member().clone(), WITHIN).await.unwrap();
    group.a.propose(write("ours"), WITHIN).await.unwrap();
    assert_eq!(count(&late, "ours").await, 1, "the second founder joined");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_was_deleted_and_founded_again_is_another_one() {
    let group = Group::begin().await;
    group.a.propose(write("kept"), WITHIN).await.unwrap();
    // The range of one key, in base64: `/show-build/test/anchor`.
    let deleted =
        group.etcd.ask(0, "/v3/kv/deleterange", r#"{"key":"L3Nob3ctYnVpbGQvdGVzdC9hbmNob3I="}"#).await;
    assert_eq!(deleted.unwrap().pointer("/deleted").and_then(|n| n.as_str()), Some("1"));
    let dir = tempfile::tempdir().unwrap();
    let usurper = EtcdStore::bootstrap(group.etcd.config(dir.path(), "c"), Machine::default()).unwrap();
    usurper.propose(write("usurped"), WITHIN).await.unwrap();
    let doubt = tokio::time::timeout(WITHIN, group.a.failed()).await.expect("the old member notices");
    assert!(doubt.contains("founded again"), "{doubt}");
}

/// A TCP proxy before one member of etcd, that can be closed or lose the answer to a transaction.
struct Gate {
    port: u16,
    state: Arc<GateState>,
}

#[derive(Default)]
struct GateState {
    closed: AtomicBool,
    lose: AtomicBool,
}

impl Gate {
    async fn before(etcd: &Etcd, at: usize) -> Self {
        let (listener, to) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), etcd.port(at));
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(GateState::default());
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(stream, to, Arc::clone(&shared)));
            }
        });
        Self { port, state }
    }

    fn config(&self, etcd: &Etcd, dir: &TempDir, name: &str) -> EtcdConfig {
        let mut config = etcd.config(dir.path(), name);
        config.endpoints = vec![format!("http://127.0.0.1:{}", self.port).parse().unwrap()];
        config
    }

    fn close(&self) {
        self.state.closed.store(true, Ordering::SeqCst);
    }

    fn open(&self) {
        self.state.closed.store(false, Ordering::SeqCst);
    }

    fn lose_next_answer(&self) {
        self.state.lose.store(true, Ordering::SeqCst);
    }

    fn lost_it(&self) -> bool {
        !self.state.lose.load(Ordering::SeqCst)
    }
}

/// Passes bytes on in both directions; one request at a time is looked at.
async fn pass(mut client: TcpStream, to: u16, state: Arc<GateState>) -> std::io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", to)).await?;
    let closed = async {
        while !state.closed.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let passed = async {
        let mut request = vec![0; 64 << 10];
        loop {
            let read = client.read(&mut request).await?;
            if read == 0 {
                return Ok(());
            }
            server.write_all(&request[..read]).await?;
            let transaction = request[..read].starts_with(b"POST /v3/kv/txn");
            if request[..read].starts_with(b"POST /v3/watch") {
                copy_bidirectional(&mut client, &mut server).await?;
                return Ok(());
            }
            let mut answer = vec![0; 64 << 10];
            let length = server.read(&mut answer).await?;
            if transaction && state.lose.swap(false, Ordering::SeqCst) {
                return Ok(());
            }
            client.write_all(&answer[..length]).await?;
        }
    };
    tokio::select! {
        () = closed => Ok(()),
        done = passed => done,
    }
}
