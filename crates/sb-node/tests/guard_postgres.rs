//! The guard as the parent of a real PostgreSQL.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking and says what it skips"
)]

mod guard_support;

use std::time::Duration;

use guard_support::postgres::Cluster;
use guard_support::{
    FENCE_MS_MAX, GuardProcess, REPLY, event, fenced, is_alive, pid_of, spawn_example, status_until, until,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sb_node::guard::{
    BootNanos, GuardClient, GuardEvent, GuardReply, GuardRequest, Postmaster, PostmasterExit, Role, StopMode,
    Term,
};

const FIVE: u64 = 5;

fn writable() -> Role {
    Role::Writable { term: Term::from(FIVE) }
}

fn in_ms(ms: u64) -> BootNanos {
    BootNanos::now().plus(Duration::from_millis(ms))
}

async fn arm(guard: &GuardClient, ahead_ms: u64) -> BootNanos {
    let fence_at = in_ms(ahead_ms);
    guard.arm(Term::from(FIVE), fence_at, REPLY).await.unwrap();
    fence_at
}

async fn start(guard: &GuardClient, cluster: &Cluster, role: Role) -> Pid {
    let pid = guard.start(cluster.spec(role), REPLY).await.unwrap();
    cluster.accepts().await;
    Pid::from_raw(pid.cast_signed())
}

/// Writes in a session of its own thread; the first row is acknowledged when this returns.
fn write_in_the_background(cluster: &Cluster) -> std::thread::JoinHandle<Vec<BootNanos>> {
    let mut session = cluster.session();
    assert_eq!(session.run("CREATE TABLE written (id serial)").as_deref(), Some("CREATE TABLE"));
    assert_eq!(session.run("INSERT INTO written VALUES (default)").as_deref(), Some("INSERT 0 1"));
    let first = BootNanos::now();
    std::thread::spawn(move || session.write_until_the_end(first))
}

/// The last acknowledgement came before what the guard promises.
fn assert_silent_after(fence_at: BootNanos, acknowledged: &[BootNanos]) {
    let last = acknowledged.last().copied().unwrap();
    assert!(acknowledged.len() > 1, "it wrote until the fence");
    let late = last.since(fence_at);
    assert!(
        late <= Duration::from_millis(u64::from(FENCE_MS_MAX)),
        "acknowledged {late:?} after the deadline"
    );
}

#[tokio::test]
async fn an_open_session_gets_no_acknowledgement_after_the_fence_of_a_stopped_agent() {
    let process = GuardProcess::start();
    let (watcher, mut events) = process.connect().await;
    let cluster = Cluster::init(process.dir.path());
    let mut agent = spawn_example("guard_client", &[process.dir.path().to_str().unwrap(), "5"]);
    let first = status_until(&watcher, "the agent has armed", |status| status.armed.is_some()).await;
    start(&watcher, &cluster, writable()).await;
    let writer = write_in_the_background(&cluster);
    status_until(&watcher, "the agent renews", |status| status.armed > first.armed).await;
    kill(pid_of(&agent), Signal::SIGSTOP).unwrap();
    let deadline = watcher.status(REPLY).await.unwrap().armed.unwrap().fence_at;
    let (_, _, took_ms) = fenced(&mut events).await;
    assert!(took_ms <= FENCE_MS_MAX, "{took_ms} ms");
    assert_silent_after(deadline, &writer.join().unwrap());
    agent.kill().unwrap();
    agent.wait().unwrap();
}

#[tokio::test]
async fn a_promoted_standby_is_fenced_like_a_primary() {
    let process = GuardProcess::start();
    let (guard, mut events) = process.connect().await;
    let cluster = Cluster::init(process.dir.path());
    start(&guard, &cluster, Role::Standby).await;
    arm(&guard, 60_000).await;
    guard.promoting(Term::from(FIVE), REPLY).await.unwrap();
    assert_eq!(cluster.session().run("SELECT pg_promote()").as_deref(), Some("t"));
    let writer = write_in_the_background(&cluster);
    let deadline = arm(&guard, 300).await;
    let exited = event(&mut events).await;
    assert!(matches!(exited, GuardEvent::PostmasterExited { .. }), "{exited:?}");
    assert!(fenced(&mut events).await.2 <= FENCE_MS_MAX);
    assert_silent_after(deadline, &writer.join().unwrap());
}

#[tokio::test]
async fn a_clean_stop_ends_with_status_0_and_may_be_followed_by_a_start() {
    let process = GuardProcess::start();
    let (guard, mut events) = process.connect().await;
    let cluster = Cluster::init(process.dir.path());
    arm(&guard, 60_000).await;
    start(&guard, &cluster, writable()).await;
    guard.stop(StopMode::Fast, REPLY).await.unwrap();
    let clean = GuardEvent::PostmasterExited { status: PostmasterExit::Code(0), stragglers_killed: 0 };
    assert_eq!(event(&mut events).await, clean);
    guard.disarm(Term::from(FIVE), REPLY).await.unwrap();
    start(&guard, &cluster, Role::Standby).await;
    let status = guard.status(REPLY).await.unwrap();
    assert_eq!((status.role, status.armed), (Some(Role::Standby), None));
}

#[tokio::test]
async fn no_backend_outlives_a_killed_postmaster() {
    let process = GuardProcess::start();
    let (guard, mut events) = process.connect().await;
    let cluster = Cluster::init(process.dir.path());
    arm(&guard, 60_000).await;
    let postmaster = start(&guard, &cluster, writable()).await;
    let mut session = cluster.session();
    let backend: i32 = session.run("SELECT pg_backend_pid()").unwrap().parse().unwrap();
    // Busy, it would not look at its postmaster for as long as this takes.
    session.send("SELECT count(*) FROM generate_series(1, 1000000000)").unwrap();
    let mut other = cluster.session();
    let state = format!("SELECT state FROM pg_stat_activity WHERE pid = {backend}");
    until("it is busy", async || (other.run(&state).unwrap() == "active").then_some(())).await;
    kill(postmaster, Signal::SIGKILL).unwrap();
    let GuardEvent::PostmasterExited { status, stragglers_killed } = event(&mut events).await else {
        panic!("another event")
    };
    assert_eq!(status, PostmasterExit::Signal(9));
    assert!(stragglers_killed >= 1);
    assert!(!is_alive(Pid::from_raw(backend)));
    start(&guard, &cluster, writable()).await;
}

#[tokio::test]
async fn postgres_ends_with_a_killed_guard_and_the_next_one_starts_it_again() {
    let mut process = GuardProcess::start();
    let (guard, _events) = process.connect().await;
    let cluster = Cluster::init(process.dir.path());
    arm(&guard, 60_000).await;
    let postmaster = start(&guard, &cluster, writable()).await;
    let writer = write_in_the_background(&cluster);
    process.end(Signal::SIGKILL);
    until("the postmaster has ended", async || (!is_alive(postmaster)).then_some(())).await;
    writer.join().unwrap();
    process.start_again();
    let (guard, _events) = process.connect().await;
    assert_eq!(guard.status(REPLY).await.unwrap().postmaster, Postmaster::Absent);
    start(&guard, &cluster, Role::Standby).await;
}

/// Its signal from the kernel waits until it goes on; until then it is nobody's descendant.
#[tokio::test]
async fn a_stopped_postmaster_whose_guard_was_killed_does_not_escape_the_next_guards_proof() {
    let mut process = GuardProcess::start();
    let (guard, _events) = process.connect().await;
    let cluster = Cluster::init(process.dir.path());
    arm(&guard, 60_000).await;
    let postmaster = start(&guard, &cluster, writable()).await;
    kill(postmaster, Signal::SIGSTOP).unwrap();
    process.end(Signal::SIGKILL);
    assert!(is_alive(postmaster), "a stopped process does not end by SIGQUIT");
    process.start_again();
    let (guard, _events) = process.connect().await;
    guard.kill_all(REPLY).await.unwrap();
    assert!(!is_alive(postmaster));
}

#[tokio::test]
async fn backends_that_no_guard_knows_are_ended_before_the_start() {
    let process = GuardProcess::start();
    let (guard, _events) = process.connect().await;
    let cluster = Cluster::init(process.dir.path());
    let mut unguarded = cluster.spawn_unguarded();
    cluster.accepts().await;
    let started = guard.request(GuardRequest::Start(cluster.spec(Role::Standby)), REPLY);
    let (reply, ended) = tokio::join!(
        started,
        // A zombie holds no directory, but the test is its parent and has to let it go.
        until("the unguarded one has ended", async || unguarded.try_wait().unwrap())
    );
    assert!(!ended.success(), "{ended}");
    let reply = reply.unwrap();
    let GuardReply::Started { leftovers_killed, .. } = reply else { panic!("{reply:?}") };
    assert!(leftovers_killed >= 1);
    cluster.accepts().await;
}
