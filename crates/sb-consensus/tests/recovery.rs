//! A group that has lost its majority for good, and the member that goes on alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::time::Duration;

use sb_consensus::{
    MemberId, OpenError, RaftConfig, RaftStore, RecoverError, Role, StateMachine, Store, holds_log,
};
use support::tcp::{Node, Start};
use support::{Machine, write};
use tempfile::TempDir;

const WITHIN: Duration = Duration::from_secs(10);

/// Several election timeouts: whoever could disturb a leader has done it by then.
const QUIET: Duration = Duration::from_millis(1_500);

fn name(at: usize) -> String {
    format!("server-{at}")
}

async fn start(dir: &TempDir, at: usize, start: Start) -> Node<Machine> {
    Node::start(dir.path(), &name(at), start).await.unwrap()
}

/// Five voters that have agreed on a word, and their directories.
async fn five() -> (Vec<TempDir>, Vec<Option<Node<Machine>>>) {
    let dirs: Vec<_> = (0..5).map(|_| tempfile::tempdir().unwrap()).collect();
    let mut nodes = vec![Some(start(&dirs[0], 0, Start::Bootstrap).await)];
    for (at, dir) in dirs.iter().enumerate().skip(1) {
        let node = start(dir, at, Start::Open).await;
        join(&nodes[0].as_ref().unwrap().store, &node.store).await;
        nodes.push(Some(node));
    }
    nodes[0].as_ref().unwrap().store.propose(write("before"), WITHIN).await.unwrap();
    for node in nodes.iter().flatten() {
        has(&node.store, &["before"]).await;
    }
    (dirs, nodes)
}

async fn join(group: &Store<Machine>, new: &Store<Machine>) {
    group.add_learner(new.member().clone(), WITHIN).await.unwrap();
    group.promote(new.member().id, WITHIN).await.unwrap();
}

async fn has(store: &Store<Machine>, words: &[&str]) {
    let mut watch = store.watch();
    let there = watch.wait_for(|applied| applied.view.words == words);
    tokio::time::timeout(WITHIN, there).await.expect("the words within their time").unwrap();
}

fn recover(dir: &Path, at: usize, member: MemberId) -> Result<MemberId, RecoverError<&'static str>> {
    let config = RaftConfig::new("test", dir, name(at), "127.0.0.1:1");
    let mark = |machine: &mut Machine| {
        machine.apply(&write("recovered"));
        Ok(())
    };
    RaftStore::danger_recover(&config, Machine::default(), member, mark).map(|recovered| recovered.member)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_member_goes_on_alone_and_the_other_survivor_joins_anew() {
    let (dirs, mut nodes) = five().await;
    for lost in &mut nodes[..3] {
        lost.take().unwrap().kill().await;
    }
    let ids = [3, 4].map(|at: usize| nodes[at].as_ref().unwrap().store.member().id);
    nodes[3].take().unwrap().kill().await;
    let member = recover(dirs[3].path(), 3, ids[0]).unwrap();
    let held = RaftStore::look_into(dirs[3].path(), Machine::default()).unwrap().unwrap();
    assert_eq!(held.words, ["before", "recovered"]);
    let alone = start(&dirs[3], 3, Start::Open).await;
    assert_eq!(alone.store.member().id, member);
    has(&alone.store, &["before", "recovered"]).await;
    alone.store.propose(write("after"), WITHIN).await.unwrap();

    nodes[4].take().unwrap().kill().await;
    let left = RaftStore::<Machine>::leave(dirs[4].path()).unwrap().unwrap();
    assert!(holds_log(&left) && !holds_log(dirs[4].path()));
    assert!(RaftStore::look_into(dirs[4].path(), Machine::default()).unwrap().is_none());
    let survivor = start(&dirs[4], 4, Start::Open).await;
    assert_ne!(survivor.store.member().id, ids[1]);
    join(&alone.store, &survivor.store).await;
    has(&survivor.store, &["before", "recovered", "after"]).await;
    std::fs::remove_dir_all(left).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_member_that_comes_back_is_not_heard() {
    let (dirs, mut nodes) = five().await;
    let id = nodes[3].as_ref().unwrap().store.member().id;
    let address = nodes[3].as_ref().unwrap().store.member().address.clone();
    for node in &mut nodes {
        node.take().unwrap().kill().await;
    }
    recover(dirs[3].path(), 3, id).unwrap();
    // At the address that the old members know.
    let same = |config: &mut RaftConfig| config.address.clone_from(&address);
    let alone = Node::<Machine>::start_with(dirs[3].path(), &name(3), Start::Open, same).await.unwrap();
    alone.store.propose(write("after"), WITHIN).await.unwrap();
    let term = alone.store.health().borrow().raft_term;
    let old = [start(&dirs[0], 0, Start::Open).await, start(&dirs[1], 1, Start::Open).await];
    let mut health = alone.store.health();
    let disturbed = health.wait_for(|now| now.role != Role::Leader || now.raft_term != term);
    assert!(tokio::time::timeout(QUIET, disturbed).await.is_err(), "an old member disturbed the new group");
    for member in &old {
        assert_ne!(member.store.health().borrow().role, Role::Leader, "two of five led");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_the_member_meant_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = MemberId::new(7).unwrap();
    let empty = recover(dir.path(), 0, nobody);
    assert!(matches!(empty, Err(RecoverError::Nothing { .. })), "{empty:?}");
    let node = start(&dir, 0, Start::Bootstrap).await;
    node.store.propose(write("before"), WITHIN).await.unwrap();
    let id = node.store.member().id;
    let open = recover(dir.path(), 0, id);
    assert!(matches!(open, Err(RecoverError::Open(OpenError::Locked { .. }))), "{open:?}");
    node.kill().await;
    let other = recover(dir.path(), 0, nobody);
    assert!(matches!(other, Err(RecoverError::OtherMember { found, .. }) if found == id), "{other:?}");
    let foreign = recover(dir.path(), 1, id);
    assert!(matches!(foreign, Err(RecoverError::Open(OpenError::ForeignDirectory { .. }))), "{foreign:?}");
    let config = RaftConfig::new("test", dir.path(), name(0), "127.0.0.1:1");
    let refused = RaftStore::danger_recover(&config, Machine::default(), id, |_| Err("no"));
    assert!(matches!(refused, Err(RecoverError::Refused("no"))), "{refused:?}");
    let node = start(&dir, 0, Start::Open).await;
    assert_eq!(node.store.member().id, id);
    has(&node.store, &["before"]).await;
}
