//! The guard as a process of its own, with a program that does not want to end.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking and says what it skips"
)]

mod guard_support;

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use guard_support::{
    FENCE_MS_MAX, GuardProcess, LIMIT, Privileges, REPLY, Stubborn, event, fenced, is_alive, pid_of,
    spawn_example, spawn_example_unprivileged, status_until, until, wait_for,
};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, socket};
use sb_node::guard::{
    BootNanos, Degradation, GuardClient, GuardClientError, GuardEvent, GuardNotice, Postmaster,
    PostmasterExit, Refusal, Role, StopMode, Term, socket_path,
};

const FIVE: u64 = 5;

fn term(number: u64) -> Term {
    Term::from(number)
}

fn writable(number: u64) -> Role {
    Role::Writable { term: term(number) }
}

fn in_ms(ms: u64) -> BootNanos {
    BootNanos::now().plus(Duration::from_millis(ms))
}

fn refusal<T: std::fmt::Debug>(outcome: Result<T, GuardClientError>) -> Refusal {
    match outcome {
        Err(GuardClientError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// A connection without the client's manners.
fn raw_client(process: &GuardProcess) -> OwnedFd {
    let client = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_NONBLOCK, None).unwrap();
    connect(client.as_raw_fd(), &UnixAddr::new(&socket_path(process.dir.path())).unwrap()).unwrap();
    client
}

/// Sends once more; true when the guard has closed its end.
fn is_refused(client: &OwnedFd, datagram: &[u8]) -> bool {
    let sent = send(client.as_raw_fd(), datagram, MsgFlags::MSG_NOSIGNAL);
    matches!(sent, Err(Errno::EPIPE | Errno::ECONNRESET))
}

/// Starts `program` as writable in term 5, with a deadline far away.
async fn start_writable(guard: &GuardClient, program: &Stubborn) -> Vec<nix::unistd::Pid> {
    guard.arm(term(FIVE), in_ms(60_000), REPLY).await.unwrap();
    guard.start(program.spec(writable(FIVE)), REPLY).await.unwrap();
    program.pids().await
}

#[tokio::test]
async fn the_deadline_ends_a_program_that_ignores_signals_and_its_runaway_child() {
    let process = GuardProcess::start();
    let (guard, mut events) = process.connect().await;
    let program = Stubborn::new(process.dir.path());
    let pids = start_writable(&guard, &program).await;
    guard.arm(term(FIVE), in_ms(100), REPLY).await.unwrap();
    let exited = event(&mut events).await;
    assert!(
        matches!(exited, GuardEvent::PostmasterExited { status: PostmasterExit::Signal(9), .. }),
        "{exited:?}"
    );
    let (fenced_term, killed, took_ms) = fenced(&mut events).await;
    assert_eq!(fenced_term, FIVE);
    assert!(killed >= 2, "{killed}");
    assert!((200..=FENCE_MS_MAX).contains(&took_ms), "{took_ms} ms");
    assert!(!pids.into_iter().any(is_alive));
    let status = guard.status(REPLY).await.unwrap();
    assert_eq!((status.postmaster, status.fenced, status.fences), (Postmaster::Absent, Some(term(FIVE)), 1));
    let fallen = status.fallen.unwrap();
    assert_eq!(fallen.term, term(FIVE));
    assert_eq!(fallen.gone_at.since(fallen.deadline).as_millis(), u128::from(took_ms));
    guard.arm(term(FIVE + 1), in_ms(60_000), REPLY).await.unwrap();
    assert_eq!(guard.status(REPLY).await.unwrap().fallen, None, "it concerns nobody any more");
}

#[tokio::test]
async fn the_fence_falls_without_an_agent_that_is_stopped_or_killed() {
    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        let process = GuardProcess::start();
        let (watcher, mut events) = process.connect().await;
        let program = Stubborn::new(process.dir.path());
        let mut agent = spawn_example("guard_client", &[process.dir.path().to_str().unwrap(), "5"]);
        let first = status_until(&watcher, "the agent has armed", |status| status.armed.is_some()).await;
        watcher.start(program.spec(writable(FIVE)), REPLY).await.unwrap();
        let pids = program.pids().await;
        status_until(&watcher, "the agent renews", |status| status.armed > first.armed).await;
        kill(pid_of(&agent), signal).unwrap();
        let (_, _, took_ms) = fenced(&mut events).await;
        assert!(took_ms <= FENCE_MS_MAX, "{signal}: {took_ms} ms");
        assert!(!pids.into_iter().any(is_alive), "{signal}");
        agent.kill().unwrap();
        agent.wait().unwrap();
    }
}

#[tokio::test]
async fn without_any_privilege_the_deadline_still_ends_everything() {
    let process = GuardProcess::start_with(Privileges::None);
    let (guard, mut events) = process.connect().await;
    let program = Stubborn::new(process.dir.path());
    let pids = start_writable(&guard, &program).await;
    guard.arm(term(FIVE), in_ms(100), REPLY).await.unwrap();
    fenced(&mut events).await;
    assert!(!pids.into_iter().any(is_alive));
    let degraded = guard.status(REPLY).await.unwrap().degraded;
    assert!(degraded.contains(&Degradation::NoRealTimePriority), "{degraded:?}");
}

#[tokio::test]
async fn the_proof_comes_when_nothing_is_left() {
    let process = GuardProcess::start();
    let (guard, _events) = process.connect().await;
    let program = Stubborn::new(process.dir.path());
    let pids = start_writable(&guard, &program).await;
    let still_writable = refusal(guard.disarm(term(FIVE), REPLY).await);
    assert_eq!(still_writable, Refusal::Writable { term: term(FIVE) });
    let proof = guard.kill_all(LIMIT).await.unwrap();
    assert_eq!(proof.descendants, 0);
    assert!((200..=FENCE_MS_MAX).contains(&proof.took_ms), "it ignores SIGQUIT: {} ms", proof.took_ms);
    assert!(!pids.into_iter().any(is_alive));
    guard.disarm(term(FIVE), REPLY).await.unwrap();
    let idle = guard.kill_all(REPLY).await.unwrap();
    assert!(idle.took_ms < 200, "there is nothing to wait for: {} ms", idle.took_ms);
}

#[tokio::test]
async fn nothing_becomes_writable_without_a_deadline_of_its_term() {
    let process = GuardProcess::start();
    let (guard, _events) = process.connect().await;
    let program = Stubborn::new(process.dir.path());
    let unarmed = refusal(guard.start(program.spec(writable(FIVE)), REPLY).await);
    assert_eq!(unarmed, Refusal::NotArmed { asked: term(FIVE), armed: None });
    let standby = guard.start(program.spec(Role::Standby), REPLY).await.unwrap();
    assert_eq!(
        refusal(guard.promoting(term(FIVE), REPLY).await),
        Refusal::NotArmed { asked: term(FIVE), armed: None }
    );
    guard.arm(term(FIVE), in_ms(60_000), REPLY).await.unwrap();
    assert_eq!(
        refusal(guard.arm(term(4), in_ms(60_000), REPLY).await),
        Refusal::StaleTerm { asked: term(4), highest: term(FIVE) }
    );
    guard.promoting(term(FIVE), REPLY).await.unwrap();
    let status = guard.status(REPLY).await.unwrap();
    assert_eq!(
        (status.postmaster, status.role),
        (Postmaster::Running { pid: standby }, Some(writable(FIVE)))
    );
    assert_eq!(refusal(guard.start(program.spec(Role::Standby), REPLY).await), Refusal::Alive);
}

#[tokio::test]
async fn a_standby_outlives_a_deadline_that_was_taken_away() {
    let process = GuardProcess::start();
    let (guard, _events) = process.connect().await;
    let program = Stubborn::new(process.dir.path());
    let pid = guard.start(program.spec(Role::Standby), REPLY).await.unwrap();
    let deadline = in_ms(150);
    guard.arm(term(FIVE), deadline, REPLY).await.unwrap();
    guard.disarm(term(FIVE), REPLY).await.unwrap();
    let past = deadline.plus(Duration::from_millis(u64::from(FENCE_MS_MAX)));
    until("the deadline has passed", async || (BootNanos::now() > past).then_some(())).await;
    let status = guard.status(REPLY).await.unwrap();
    assert_eq!((status.postmaster, status.fences), (Postmaster::Running { pid }, 0));
}

#[tokio::test]
async fn a_standby_is_not_started_without_its_signal_file() {
    let process = GuardProcess::start();
    let (guard, _events) = process.connect().await;
    let program = Stubborn::new(process.dir.path());
    fs::remove_file(program.data_dir.join("standby.signal")).unwrap();
    let outcome = refusal(guard.start(program.spec(Role::Standby), REPLY).await);
    let Refusal::StartFailed { step, .. } = outcome else { panic!("{outcome:?}") };
    assert!(step.contains("standby.signal"), "{step}");
    assert_eq!(guard.status(REPLY).await.unwrap().postmaster, Postmaster::Absent);
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_reported_with_the_reason() {
    let process = GuardProcess::start();
    let (guard, _events) = process.connect().await;
    let mut spec = Stubborn::new(process.dir.path()).spec(Role::Standby);
    spec.program = "/nonexistent/postgres".into();
    let outcome = refusal(guard.start(spec, REPLY).await);
    assert_eq!(
        outcome.to_string(),
        "could not start PostgreSQL: could not run the program: No such file or directory"
    );
}

#[tokio::test]
async fn a_new_agent_finds_everything_and_goes_on() {
    let process = GuardProcess::start();
    let (first, _) = process.connect().await;
    let program = Stubborn::new(process.dir.path());
    first.arm(term(FIVE), in_ms(60_000), REPLY).await.unwrap();
    let pid = first.start(program.spec(writable(FIVE)), REPLY).await.unwrap();
    program.pids().await;
    drop(first);
    let (second, mut events) = process.connect().await;
    let status = second.status(REPLY).await.unwrap();
    assert_eq!((status.postmaster, status.role), (Postmaster::Running { pid }, Some(writable(FIVE))));
    assert_eq!(status.highest_term, Some(term(FIVE)));
    assert!(status.descendants >= 2, "{}", status.descendants);
    second.arm(term(FIVE), in_ms(50), REPLY).await.unwrap();
    assert_eq!(fenced(&mut events).await.0, FIVE);
    second.arm(term(FIVE), in_ms(60_000), REPLY).await.unwrap();
    second.start(program.spec(writable(FIVE)), REPLY).await.unwrap();
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped_and_holds_nobody_up() {
    let process = GuardProcess::start();
    let (guard, mut events) = process.connect().await;
    let program = Stubborn::new(process.dir.path());
    start_writable(&guard, &program).await;
    let deaf = raw_client(&process);
    // A request for the status with the number 1, in postcard's encoding.
    until("the guard has dropped it", async || is_refused(&deaf, &[1, 0]).then_some(())).await;
    guard.arm(term(FIVE), in_ms(50), REPLY).await.unwrap();
    assert!(fenced(&mut events).await.2 <= FENCE_MS_MAX);
}

#[tokio::test]
async fn a_client_that_talks_nonsense_is_dropped() {
    let process = GuardProcess::start();
    let (guard, _events) = process.connect().await;
    for nonsense in [&[1, 99][..], &[1, 0, 0], &[255; 64 * 1024]] {
        let client = raw_client(&process);
        until("the guard has dropped it", async || is_refused(&client, nonsense).then_some(())).await;
    }
    assert_eq!(guard.status(REPLY).await.unwrap().postmaster, Postmaster::Absent);
}

#[tokio::test]
async fn a_client_of_another_user_is_turned_away() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: only root can try as another user");
        return;
    }
    let process = GuardProcess::start();
    let (guard, _events) = process.connect().await;
    let socket = socket_path(process.dir.path());
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let mut stranger =
        spawn_example_unprivileged("guard_client", &[process.dir.path().to_str().unwrap(), "7"]);
    let status = wait_for("the stranger gives up", || stranger.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
    assert_eq!(guard.status(REPLY).await.unwrap().highest_term, None);
}

#[tokio::test]
async fn a_terminated_guard_leaves_nothing() {
    let mut process = GuardProcess::start();
    let (guard, mut events) = process.connect().await;
    let program = Stubborn::new(process.dir.path());
    let pids = start_writable(&guard, &program).await;
    guard.arm(term(FIVE), in_ms(300), REPLY).await.unwrap();
    let status = process.end(Signal::SIGTERM);
    assert_eq!(status.code(), Some(0));
    assert!(!pids.into_iter().any(is_alive), "the deadline holds during the shutdown");
    until("the client is told", async || (events.next().await == GuardNotice::Disconnected).then_some(()))
        .await;
}

#[tokio::test]
async fn a_new_guard_ends_what_a_killed_one_left() {
    let mut process = GuardProcess::start();
    let (guard, _events) = process.connect().await;
    let status = guard.status(REPLY).await.unwrap();
    if status.degraded.contains(&Degradation::NoCgroup) {
        eprintln!("SKIPPED: no cgroup v2 with cgroup.kill that this user may write");
        return;
    }
    let program = Stubborn::new(process.dir.path());
    let pids = start_writable(&guard, &program).await;
    process.end(Signal::SIGKILL);
    assert!(pids.iter().copied().any(is_alive), "it ignores the signal that it gets when its parent dies");
    process.start_again();
    process.connect().await;
    assert!(!pids.into_iter().any(is_alive));
}

#[tokio::test]
async fn two_guards_do_not_share_a_run_directory() {
    let process = GuardProcess::start();
    process.connect().await;
    let mut second = spawn_example("guard", &[process.dir.path().to_str().unwrap()]);
    let status = wait_for("the second guard's end", || second.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
    let (guard, _events) = process.connect().await;
    assert_eq!(guard.status(REPLY).await.unwrap().guard_pid, process.pid().as_raw().unsigned_abs());
}

#[tokio::test]
async fn the_guard_is_locked_in_memory_and_scheduled_first_or_says_that_it_is_not() {
    let process = GuardProcess::start();
    let (guard, _events) = process.connect().await;
    let degraded = guard.status(REPLY).await.unwrap().degraded;
    let read = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", process.pid())).unwrap();
    let status = read("status");
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap().trim();
    assert_eq!(locked == "0 kB", degraded.contains(&Degradation::MemoryNotLocked), "{locked}");
    let stat = read("stat");
    // The 41st field (proc(5)), counted from behind the name: the scheduling policy.
    let policy = stat.rsplit_once(") ").unwrap().1.split(' ').nth(38).unwrap();
    let first_in_first_out = policy == libc::SCHED_FIFO.to_string();
    assert_eq!(first_in_first_out, !degraded.contains(&Degradation::NoRealTimePriority), "{policy}");
    let spared = read("oom_score_adj").trim() == "-1000";
    assert_eq!(spared, !degraded.contains(&Degradation::OomKillable));
}

#[tokio::test]
async fn the_program_inherits_nothing_of_the_guards_power() {
    let process = GuardProcess::start();
    let (guard, mut events) = process.connect().await;
    let program = Stubborn::new(process.dir.path());
    let pid = guard.start(program.spec(Role::Standby), REPLY).await.unwrap();
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
    let status = read("status");
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!(field("SigBlk:"), "0000000000000000");
    assert_eq!(read("oom_score_adj").trim(), "0");
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|entry| fs::read_link(entry.unwrap().path()).unwrap_or_default());
    let leaked: Vec<_> = descriptors.filter(|target| target.to_string_lossy().contains("socket:")).collect();
    assert_eq!(leaked, Vec::<std::path::PathBuf>::new());
    guard.stop(StopMode::Fast, REPLY).await.unwrap();
    guard.kill_all(LIMIT).await.unwrap();
    let exited = event(&mut events).await;
    assert!(matches!(exited, GuardEvent::PostmasterExited { .. }), "{exited:?}");
}
