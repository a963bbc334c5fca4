//! Members over loopback, each with its own directory: crashes, restarts, damage.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use sb_consensus::{OpenError, ProposeError, Role, Store, holds_log};
use support::tcp::{Node, Start};
use support::{Machine, Outcome, write};
use tempfile::TempDir;

const WITHIN: Duration = Duration::from_secs(10);

/// A group of voters, each with its directory.
struct Group {
    nodes: Vec<Option<Node<Machine>>>,
    dirs: Vec<TempDir>,
}

impl Group {
    async fn of(count: usize) -> Self {
        let mut group = Self { nodes: Vec::new(), dirs: Vec::new() };
        for at in 0..count {
            group.dirs.push(tempfile::tempdir().unwrap());
            let start = if at == 0 { Start::Bootstrap } else { Start::Open };
            group.nodes.push(Some(group.node(at, start, "127.0.0.1:0").await));
            if at > 0 {
                let (first, member) = (group.store(0), group.store(at).member().clone());
                first.add_learner(member.clone(), WITHIN).await.unwrap();
                first.promote(member.id, WITHIN).await.unwrap();
            }
        }
        group
    }

    async fn node(&self, at: usize, start: Start, address: &str) -> Node<Machine> {
        let name = format!("server-{at}");
        let small = |config: &mut sb_consensus::RaftConfig| {
            config.address = address.to_owned();
            config.snapshot_every_entries = 50;
            config.log_tail_entries = 10;
        };
        Node::start_with(self.dirs[at].path(), &name, start, small).await.unwrap()
    }

    fn store(&self, at: usize) -> &Store<Machine> {
        &self.nodes[at].as_ref().unwrap().store
    }

    fn running(&self) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(|at| self.nodes[*at].is_some())
    }

    async fn kill(&mut self, at: usize) {
        self.nodes[at].take().unwrap().kill().await;
    }

    /// It comes back at another address.
    async fn restart(&mut self, at: usize) {
        self.restart_at(at, "127.0.0.1:0").await;
    }

    async fn restart_at(&mut self, at: usize, address: &str) {
        self.nodes[at] = Some(self.node(at, Start::Open, address).await);
    }

    /// Who leads, once everybody that runs agrees.
    async fn leader(&self) -> usize {
        let mut leaders = Vec::new();
        for at in self.running() {
            let mut health = self.store(at).health();
            let ours = |id| self.running().any(|other| self.store(other).member().id == id);
            let led = health.wait_for(|now| now.leader.as_ref().is_some_and(|leader| ours(leader.id)));
            let led = tokio::time::timeout(WITHIN, led).await.expect("a leader within its time").unwrap();
            leaders.push(led.leader.as_ref().unwrap().id);
        }
        self.running().find(|at| leaders.contains(&self.store(*at).member().id)).unwrap()
    }
}

async fn words(store: &Store<Machine>) -> Vec<String> {
    store.read(WITHIN).await.unwrap().words.clone()
}

async fn has_words(store: &Store<Machine>, count: usize) {
    let mut watch = store.watch();
    let there = watch.wait_for(|applied| applied.view.words.len() == count);
    tokio::time::timeout(WITHIN, there).await.expect("the words within their time").unwrap();
}

/// Loses the leader and some followers, writes, brings them back: everybody has everything.
async fn survives_the_loss_of(lost_count: usize, count: usize) {
    let mut group = Group::of(count).await;
    group.store(0).propose(write("before"), WITHIN).await.unwrap();
    let mut lost = vec![group.leader().await];
    lost.extend(group.running().filter(|at| *at != lost[0]).take(lost_count - 1).collect::<Vec<_>>());
    for at in &lost {
        group.kill(*at).await;
    }
    let survivor = group.running().next().unwrap();
    group.store(survivor).propose(write("without them"), WITHIN).await.unwrap();
    for at in lost {
        group.restart(at).await;
        assert_eq!(words(group.store(at)).await, ["before", "without them"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_voters_survive_the_loss_of_their_leader() {
    survives_the_loss_of(1, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_voters_survive_the_loss_of_their_leader_and_one_more() {
    survives_the_loss_of(2, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_under_way_while_the_leader_dies_take_effect_once() {
    let mut group = Group::of(3).await;
    let leader = group.leader().await;
    let proposer = group.running().find(|at| *at != leader).unwrap();
    let store = group.store(proposer).clone();
    let (sender, mut half_way) = tokio::sync::oneshot::channel();
    let mut sender = Some(sender);
    let writer = tokio::spawn(async move {
        let mut places = Vec::new();
        for n in 0..40 {
            if n == 20 {
                let _ = sender.take().unwrap().send(());
            }
            match store.propose(write(format!("{n}")), WITHIN).await.unwrap() {
                Outcome::Written(place) => places.push(place),
                other => panic!("{other:?}"),
            }
        }
        places
    });
    (&mut half_way).await.unwrap();
    group.kill(leader).await;
    let places = writer.await.unwrap();
    assert_eq!(places, (1..=40).collect::<Vec<_>>(), "each request was answered, and applied once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_nothing_is_answered_or_read() {
    let mut group = Group::of(3).await;
    group.kill(1).await;
    group.kill(2).await;
    let within = Duration::from_millis(800);
    let refused = group.store(0).propose(write("x"), within).await;
    let expected = [ProposeError::Ambiguous { within_ms: 800 }, ProposeError::Unavailable { within_ms: 800 }];
    assert!(refused.as_ref().is_err_and(|error| expected.contains(error)), "{refused:?}");
    assert!(group.store(0).read(within).await.is_err());
    let mut health = group.store(0).health();
    let stepped_down = health.wait_for(|health| health.role != Role::Leader);
    tokio::time::timeout(WITHIN, stepped_down)
        .await
        .expect("a leader without a majority steps down")
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_away_for_long_catches_up_by_a_snapshot() {
    let mut group = Group::of(3).await;
    let leader = group.leader().await;
    let away = group.running().find(|at| *at != leader).unwrap();
    group.kill(away).await;
    for n in 0..200 {
        group.store(leader).propose(write(format!("{n}")), WITHIN).await.unwrap();
    }
    group.restart(away).await;
    assert_eq!(words(group.store(away)).await.len(), 200);
    let log_bytes = fs::metadata(group.dirs[leader].path().join("log")).unwrap().len();
    assert!(log_bytes < 20_000, "the log is cut behind a snapshot, not {log_bytes} bytes long");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_group_that_died_has_everything_when_it_is_back() {
    let mut group = Group::of(3).await;
    for n in 0..70 {
        group.store(0).propose(write(format!("{n}")), WITHIN).await.unwrap();
    }
    let addresses: Vec<_> = (0..3).map(|at| group.store(at).member().address.clone()).collect();
    for at in 0..3 {
        group.kill(at).await;
    }
    for (at, address) in addresses.iter().enumerate() {
        group.restart_at(at, address).await;
    }
    assert_eq!(words(group.store(2)).await, (0..70).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_shuts_down_hands_over_first() {
    let mut group = Group::of(3).await;
    let leader = group.leader().await;
    let other = group.running().find(|at| *at != leader).unwrap();
    let before = group.store(other).health().borrow().raft_term;
    group.nodes[leader].take().unwrap().shutdown().await;
    group.leader().await;
    group.store(other).propose(write("x"), WITHIN).await.unwrap();
    let after = group.store(other).health().borrow().raft_term;
    assert_eq!(after, before + 1, "one election, called by the leader itself");
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.path().join(file.file_name())).unwrap();
    }
    to
}

/// A directory with some words in it, and where its last record with a word begins.
async fn written(words: &[&str]) -> (TempDir, usize) {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::<Machine>::start(dir.path(), "a", Start::Bootstrap).await.unwrap();
    let mut last_begins = 0;
    for word in words {
        last_begins = fs::read(dir.path().join("log")).unwrap().len();
        node.store.propose(write(*word), WITHIN).await.unwrap();
    }
    node.kill().await;
    (dir, last_begins)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_cut_at_any_byte_of_its_last_record_goes_on() {
    let (dir, last_begins) = written(&["one", "two", "three"]).await;
    let log = fs::read(dir.path().join("log")).unwrap();
    let mut lengths = Vec::new();
    for cut in last_begins..=log.len() {
        let torn = copy(dir.path());
        fs::write(torn.path().join("log"), &log[..cut]).unwrap();
        let node = Node::<Machine>::start(torn.path(), "a", Start::Open).await.unwrap();
        node.store.propose(write("next"), WITHIN).await.unwrap();
        let words = words(&node.store).await;
        assert!(
            words == ["one", "two", "next"] || words == ["one", "two", "three", "next"],
            "{cut}: {words:?}"
        );
        lengths.push(words.len());
        node.kill().await;
        let again = Node::<Machine>::start(torn.path(), "a", Start::Open).await.unwrap();
        has_words(&again.store, words.len()).await;
        again.kill().await;
    }
    assert!(lengths.contains(&3) && lengths.contains(&4) && lengths.is_sorted());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_damaged_in_its_middle_is_refused() {
    let (dir, last_begins) = written(&["one", "two", "three"]).await;
    let mut log = fs::read(dir.path().join("log")).unwrap();
    log[last_begins - 5] ^= 1;
    fs::write(dir.path().join("log"), log).unwrap();
    let refused = Node::<Machine>::start(dir.path(), "a", Start::Open).await.err();
    assert!(matches!(refused, Some(OpenError::Corrupt { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_snapshot_or_a_missing_log_is_refused() {
    let (dir, _) = written(&["one"]).await;
    let damaged = copy(dir.path());
    let mut snapshot = fs::read(damaged.path().join("snapshot")).unwrap();
    *snapshot.last_mut().unwrap() ^= 1;
    fs::write(damaged.path().join("snapshot"), snapshot).unwrap();
    let missing = copy(dir.path());
    fs::remove_file(missing.path().join("log")).unwrap();
    for dir in [damaged, missing] {
        let refused = Node::<Machine>::start(dir.path(), "a", Start::Open).await.err();
        assert!(matches!(refused, Some(OpenError::Corrupt { .. })), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_whose_log_and_snapshot_were_moved_away_is_a_new_member_without_a_vote() {
    let mut group = Group::of(3).await;
    group.store(0).propose(write("one"), WITHIN).await.unwrap();
    let leader = group.leader().await;
    let victim = group.running().find(|at| *at != leader).unwrap();
    let voter = group.store(victim).member().clone();
    let dir = group.dirs[victim].path().to_path_buf();
    group.kill(victim).await;
    fs::write(dir.join("condemned"), "entries are missing").unwrap();
    for file in ["snapshot", "log"] {
        fs::remove_file(dir.join(file)).unwrap();
    }
    assert!(!holds_log(&dir));
    group.restart(victim).await;
    let member = group.store(victim).member().clone();
    assert_ne!(member.id, voter.id);
    assert_eq!(group.store(victim).health().borrow().role, Role::Outsider);
    group.store(leader).add_learner(member.clone(), WITHIN).await.unwrap();
    group.store(leader).promote(member.id, WITHIN).await.unwrap();
    assert_eq!(words(group.store(victim)).await, ["one"]);
    group.kill(victim).await;
    group.restart(victim).await;
    assert_eq!(group.store(victim).member().id, member.id, "with a log it stays who it is");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_without_its_log_is_no_place_for_a_new_group() {
    let (dir, _) = written(&["one"]).await;
    fs::remove_file(dir.path().join("log")).unwrap();
    assert!(holds_log(dir.path()));
    let refused = Node::<Machine>::start(dir.path(), "a", Start::Bootstrap).await.err();
    assert!(matches!(refused, Some(OpenError::AlreadyBootstrapped { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_whose_beginning_was_cut_short_can_begin_again_or_goes_on() {
    let (dir, _) = written(&["one"]).await;
    let before_the_log = copy(dir.path());
    fs::remove_file(before_the_log.path().join("log")).unwrap();
    let behind_it = copy(dir.path());
    for dir in [&before_the_log, &behind_it] {
        fs::rename(dir.path().join("snapshot"), dir.path().join("snapshot.first")).unwrap();
    }
    assert!(!holds_log(before_the_log.path()));
    let joins = copy(before_the_log.path());
    let again = Node::<Machine>::start(before_the_log.path(), "a", Start::Bootstrap).await.unwrap();
    assert!(words(&again.store).await.is_empty());
    again.kill().await;
    let on = Node::<Machine>::start(behind_it.path(), "a", Start::Open).await.unwrap();
    assert_eq!(words(&on.store).await, ["one"]);
    on.kill().await;
    for _ in 0..2 {
        let outsider = Node::<Machine>::start(joins.path(), "a", Start::Open).await.unwrap();
        assert_eq!(outsider.store.health().borrow().role, Role::Outsider);
        outsider.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::<Machine>::start(dir.path(), "a", Start::Bootstrap).await.unwrap();
    let second = Node::<Machine>::start(dir.path(), "a", Start::Open).await.err();
    assert!(matches!(second, Some(OpenError::Locked { .. })), "{second:?}");
    node.kill().await;
    let again = Node::<Machine>::start(dir.path(), "a", Start::Bootstrap).await.err();
    assert!(matches!(again, Some(OpenError::AlreadyBootstrapped { .. })), "{again:?}");
    let other = Node::<Machine>::start(dir.path(), "b", Start::Open).await.err();
    assert!(matches!(other, Some(OpenError::ForeignDirectory { .. })), "{other:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_restored_from_an_older_copy_stops_and_its_directory_is_not_used_again() {
    let mut group = Group::of(3).await;
    let leader = group.leader().await;
    let victim = group.running().find(|at| *at != leader).unwrap();
    group.kill(victim).await;
    let old = copy(group.dirs[victim].path());
    group.restart(victim).await;
    for n in 0..10 {
        group.store(leader).propose(write(format!("{n}")), WITHIN).await.unwrap();
    }
    has_words(group.store(victim), 10).await;
    group.kill(victim).await;
    for file in ["snapshot", "log"] {
        fs::copy(old.path().join(file), group.dirs[victim].path().join(file)).unwrap();
    }
    group.restart(victim).await;
    let mut health = group.store(victim).health();
    let stopped = health.wait_for(|health| health.role == Role::Stopped);
    let stopped = tokio::time::timeout(WITHIN, stopped).await.expect("it notices").unwrap().clone();
    assert!(stopped.failure.is_some_and(|failure| failure.contains("its log ends at")));
    group.kill(victim).await;
    let refused =
        Node::<Machine>::start(group.dirs[victim].path(), &format!("server-{victim}"), Start::Open).await;
    assert!(matches!(refused.err(), Some(OpenError::Corrupt { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_comes_back_at_another_address_is_found() {
    let mut group = Group::of(3).await;
    let leader = group.leader().await;
    let moved = group.running().find(|at| *at != leader).unwrap();
    group.kill(moved).await;
    group.restart(moved).await;
    let member = group.store(moved).member().clone();
    let mut health = group.store(leader).health();
    let known = health.wait_for(|now| now.membership.get(member.id) == Some(&member));
    tokio::time::timeout(WITHIN, known).await.expect("the group learns the address").unwrap();
}
