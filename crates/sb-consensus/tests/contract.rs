//! One suite, every backend: what users of a store may rely on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::future::Future;
use std::time::Duration;

use sb_consensus::{
    ChangeError, ChangeRejected, EtcdStore, MemoryStore, ProposeError, ReadError, Role, Store,
};
use support::etcd::Etcd;
use support::tcp::{Node, Start};
use support::{Machine, Outcome, Request, write};
use tempfile::TempDir;

const WITHIN: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(300);

/// A backend, as the suite needs it.
trait World: Sized + Send {
    fn begin() -> impl Future<Output = Self> + Send;
    fn first(&self) -> Store<Machine>;
    /// Another server, no member yet. Called twice with one name it has lost its directory in between.
    fn server(&mut self, name: &str) -> impl Future<Output = Store<Machine>> + Send;
}

struct Memory {
    group: MemoryStore<Machine>,
    first: Store<Machine>,
}

impl World for Memory {
    async fn begin() -> Self {
        let (group, first) = MemoryStore::bootstrap("a", Machine::default());
        Self { group, first }
    }

    fn first(&self) -> Store<Machine> {
        self.first.clone()
    }

    async fn server(&mut self, name: &str) -> Store<Machine> {
        self.group.open(name)
    }
}

struct Raft {
    nodes: Vec<(TempDir, Node<Machine>)>,
}

impl World for Raft {
    async fn begin() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let node = Node::start(dir.path(), "a", Start::Bootstrap).await.unwrap();
        Self { nodes: vec![(dir, node)] }
    }

    fn first(&self) -> Store<Machine> {
        self.nodes[0].1.store.clone()
    }

    async fn server(&mut self, name: &str) -> Store<Machine> {
        let earlier = self.nodes.iter().position(|(_, node)| node.store.member().name == name);
        if let Some(at) = earlier {
            self.nodes.remove(at).1.kill().await;
        }
        let dir = tempfile::tempdir().unwrap();
        let node = Node::start(dir.path(), name, Start::Open).await.unwrap();
        let store = node.store.clone();
        self.nodes.push((dir, node));
        store
    }
}

struct OnEtcd {
    etcd: Etcd,
    members: Vec<(TempDir, Store<Machine>)>,
}

impl World for OnEtcd {
    async fn begin() -> Self {
        let (etcd, dir) = (Etcd::start().await, tempfile::tempdir().unwrap());
        let store = EtcdStore::bootstrap(etcd.config(dir.path(), "a"), Machine::default()).unwrap();
        Self { etcd, members: vec![(dir, store)] }
    }

    fn first(&self) -> Store<Machine> {
        self.members[0].1.clone()
    }

    async fn server(&mut self, name: &str) -> Store<Machine> {
        let dir = tempfile::tempdir().unwrap();
        let store = EtcdStore::open(self.etcd.config(dir.path(), name), Machine::default()).unwrap();
        self.members.push((dir, store.clone()));
        store
    }
}

/// A voter more.
async fn join(world: &mut impl World, name: &str) -> Store<Machine> {
    let (first, store) = (world.first(), world.server(name).await);
    first.add_learner(store.member().clone(), WITHIN).await.unwrap();
    first.promote(store.member().id, WITHIN).await.unwrap();
    store
}

async fn words(store: &Store<Machine>) -> Vec<String> {
    store.read(WITHIN).await.unwrap().words.clone()
}

async fn becomes(store: &Store<Machine>, role: Role) {
    let mut health = store.health();
    let there = tokio::time::timeout(WITHIN, health.wait_for(|health| health.role == role)).await;
    there.expect("the role within its time").expect("the store goes on");
}

async fn requests_are_applied_in_the_order_of_their_answers<W: World>() {
    let world = W::begin().await;
    let store = world.first();
    for (place, word) in ["one", "two", "three"].into_iter().enumerate() {
        let outcome = store.propose(write(word), WITHIN).await.unwrap();
        assert_eq!(outcome, Outcome::Written(place as u64 + 1));
    }
    assert_eq!(words(&store).await, ["one", "two", "three"]);
}

async fn a_swap_succeeds_for_one_of_many<W: World>() {
    let mut world = W::begin().await;
    let stores = [world.first(), join(&mut world, "b").await, join(&mut world, "c").await];
    let mut tasks = tokio::task::JoinSet::new();
    for (new, store) in (1..=12).zip(stores.into_iter().cycle()) {
        tasks.spawn(async move { store.propose(Request::Swap { expect: 0, new }, WITHIN).await.unwrap() });
    }
    let outcomes = tasks.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Swapped).count(), 1);
}

async fn the_own_replica_has_applied_what_was_answered<W: World>() {
    let mut world = W::begin().await;
    let follower = join(&mut world, "b").await;
    for n in 1..=20 {
        follower.propose(write(format!("{n}")), WITHIN).await.unwrap();
        assert_eq!(follower.watch().borrow().view.words.len(), n, "answered before it was applied here");
    }
}

async fn a_read_sees_what_was_answered_elsewhere<W: World>() {
    let mut world = W::begin().await;
    let (first, second) = (world.first(), join(&mut world, "b").await);
    for n in 1..=20 {
        let (writer, reader) = if n % 2 == 0 { (&first, &second) } else { (&second, &first) };
        writer.propose(write(format!("{n}")), WITHIN).await.unwrap();
        assert_eq!(words(reader).await.len(), n);
    }
}

async fn a_watch_sees_the_last_state_and_never_an_older_one<W: World>() {
    let mut world = W::begin().await;
    let (first, second) = (world.first(), join(&mut world, "b").await);
    let mut watch = second.watch();
    let seen = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.last().is_none_or(|(_, words)| *words < 50) {
            watch.changed().await.unwrap();
            let now = watch.borrow_and_update();
            seen.push((now.index, now.view.words.len()));
        }
        seen
    });
    for n in 0..50 {
        first.propose(write(format!("{n}")), WITHIN).await.unwrap();
    }
    let seen = tokio::time::timeout(WITHIN, seen).await.unwrap().unwrap();
    assert!(seen.is_sorted() && seen.last().unwrap().1 == 50);
}

async fn a_server_that_is_no_member_can_do_nothing<W: World>() {
    let mut world = W::begin().await;
    let outsider = world.server("b").await;
    assert_eq!(outsider.health().borrow().role, Role::Outsider);
    let refused = outsider.propose(write("x"), SHORT).await;
    assert_eq!(refused, Err(ProposeError::Unavailable { within_ms: 300 }));
    assert_eq!(outsider.read(SHORT).await, Err(ReadError::Unavailable { within_ms: 300 }));
}

async fn members_come_are_promoted_and_leave<W: World>() {
    let mut world = W::begin().await;
    let (first, second) = (world.first(), world.server("b").await);
    let id = second.member().id;
    first.propose(write("before"), WITHIN).await.unwrap();
    first.add_learner(second.member().clone(), WITHIN).await.unwrap();
    becomes(&second, Role::Learner).await;
    assert_eq!(words(&second).await, ["before"], "a learner has what was there before it");
    second.propose(write("by a learner"), WITHIN).await.unwrap();
    first.promote(id, WITHIN).await.unwrap();
    becomes(&second, Role::Follower).await;
    first.add_learner(second.member().clone(), WITHIN).await.expect("a member already is success");
    first.promote(id, WITHIN).await.expect("a voter already is success");
    first.remove(id, WITHIN).await.unwrap();
    first.remove(id, WITHIN).await.expect("already gone is success");
    let again = first.add_learner(second.member().clone(), WITHIN).await;
    assert_eq!(again, Err(ChangeError::Rejected(ChangeRejected::Removed(id))));
    assert_eq!(words(&first).await, ["before", "by a learner"]);
}

async fn the_last_voter_cannot_leave<W: World>() {
    let world = W::begin().await;
    let store = world.first();
    let id = store.member().id;
    let refused = store.remove(id, WITHIN).await;
    assert_eq!(refused, Err(ChangeError::Rejected(ChangeRejected::LastVoter(id))));
}

async fn a_server_that_lost_its_directory_takes_the_place_of_its_old_self<W: World>() {
    let mut world = W::begin().await;
    let old = join(&mut world, "b").await.member().clone();
    join(&mut world, "c").await;
    let first = world.first();
    first.propose(write("kept"), WITHIN).await.unwrap();
    let new = world.server("b").await;
    assert_ne!(new.member().id, old.id);
    first.add_learner(new.member().clone(), WITHIN).await.unwrap();
    first.promote(new.member().id, WITHIN).await.unwrap();
    let membership = first.health().borrow().membership.clone();
    assert!(membership.was_removed(old.id) && membership.is_voter(new.member().id));
    assert_eq!(membership.members().filter(|member| member.name == "b").count(), 1);
    assert_eq!(words(&new).await, ["kept"]);
}

async fn leadership_moves_to_a_voter_on_request<W: World>() {
    let mut world = W::begin().await;
    let (first, second) = (world.first(), join(&mut world, "b").await);
    let learner = world.server("c").await;
    first.add_learner(learner.member().clone(), WITHIN).await.unwrap();
    let refused = first.transfer_leadership(learner.member().id, WITHIN).await;
    assert_eq!(refused, Err(ChangeError::NotAVoter(learner.member().id)));
    first.transfer_leadership(second.member().id, WITHIN).await.unwrap();
    becomes(&second, Role::Leader).await;
    first.propose(write("through the new leader"), WITHIN).await.unwrap();
}

async fn what_is_too_large_is_refused_whole<W: World>() {
    let world = W::begin().await;
    let store = world.first();
    let refused = store.propose(write("x".repeat(2 << 20)), WITHIN).await;
    assert!(matches!(refused, Err(ProposeError::TooLarge { .. })), "{refused:?}");
    store.propose(write("x".repeat(1 << 19)), WITHIN).await.unwrap();
}

async fn a_stopped_store_says_so<W: World>() {
    let world = W::begin().await;
    let store = world.first();
    store.shutdown().await;
    assert_eq!(store.health().borrow().role, Role::Stopped);
    assert_eq!(store.propose(write("x"), WITHIN).await, Err(ProposeError::Stopped));
    assert_eq!(store.read(WITHIN).await, Err(ReadError::Stopped));
}

async fn nobody_leads_where_etcd_orders<W: World>() {
    let mut world = W::begin().await;
    let (first, second) = (world.first(), join(&mut world, "b").await);
    let refused = first.transfer_leadership(second.member().id, WITHIN).await;
    assert_eq!(refused, Err(ChangeError::Unsupported));
}

/// What holds on every backend, on those that members lead, and on etcd alone.
macro_rules! contract {
    (every { $($fact:ident)* } led { $($led:ident)* } etcd { $($etcd:ident)* }) => {
        mod memory { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $fact() { super::$fact::<super::Memory>().await }
        )* $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $led() { super::$led::<super::Memory>().await }
        )* }
        mod raft { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $fact() { super::$fact::<super::Raft>().await }
        )* $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $led() { super::$led::<super::Raft>().await }
        )* }
        mod etcd { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $fact() { super::$fact::<super::OnEtcd>().await }
        )* $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $etcd() { super::$etcd::<super::OnEtcd>().await }
        )* }
    };
}

contract! {
    every {
    requests_are_applied_in_the_order_of_their_answers
    a_swap_succeeds_for_one_of_many
    the_own_replica_has_applied_what_was_answered
    a_read_sees_what_was_answered_elsewhere
    a_watch_sees_the_last_state_and_never_an_older_one
    a_server_that_is_no_member_can_do_nothing
    members_come_are_promoted_and_leave
    the_last_voter_cannot_leave
    a_server_that_lost_its_directory_takes_the_place_of_its_old_self
    what_is_too_large_is_refused_whole
    a_stopped_store_says_so
    }
    led {
    leadership_moves_to_a_voter_on_request
    }
    etcd {
    nobody_leads_where_etcd_orders
    }
}
