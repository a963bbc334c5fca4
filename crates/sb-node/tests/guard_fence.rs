//! The kernel's fence between two network namespaces of the test's own.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking and says what it skips"
)]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;
use sb_node::fence::{Availability, FenceError, KernelFence};
use sb_node::guard::BootNanos;

const PORT: u16 = 5432;
const SERVER: &str = "10.77.0.1";
const CLIENT: &str = "10.77.0.2";
const LIMIT: Duration = Duration::from_secs(20);
/// From the moment a packet may no longer be sent until its receiver has noted the last one before it.
const NOTED_WITHIN: Duration = Duration::from_millis(60);

/// Moves this thread into a network namespace of its own. False, and said aloud, without the rights.
fn enter_own_network(what: &str) -> bool {
    match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => {
            ip("link set lo up");
            true
        }
        Err(errno) => {
            eprintln!("SKIPPED: {what} needs a network namespace: {errno}");
            false
        }
    }
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

/// Longer than any answer takes that is let through at once.
const HELD_BACK: Duration = Duration::from_millis(400);

/// What a client was told.
#[derive(Debug, Default)]
struct Answers {
    /// When last, in nanoseconds since boot.
    last: AtomicU64,
    held_back: AtomicU64,
}

/// A client in another namespace, which asks again and again and notes when it was last answered.
struct Client {
    answers: Arc<Answers>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Client {
    /// Joins the namespaces by a pair of interfaces. To be called in the server's namespace.
    fn start() -> Self {
        let (answers, stop) = (Arc::new(Answers::default()), Arc::new(AtomicBool::new(false)));
        let (sender, namespace) = mpsc::channel();
        let (joined, wait_for_joined) = mpsc::channel();
        let (noted, stopped) = (Arc::clone(&answers), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            sender.send(gettid()).unwrap();
            wait_for_joined.recv().unwrap();
            ip(&format!("addr add {CLIENT}/24 dev sb1"));
            ip("link set sb1 up");
            while !stopped.load(Ordering::SeqCst) {
                ask_again_and_again(&noted, &stopped);
            }
        });
        let namespace = namespace.recv().unwrap();
        ip(&format!("link add sb0 type veth peer name sb1 netns {namespace}"));
        ip(&format!("addr add {SERVER}/24 dev sb0"));
        ip("link set sb0 up");
        joined.send(()).unwrap();
        Self { answers, stop, thread: Some(thread) }
    }

    fn last_answer(&self) -> BootNanos {
        BootNanos::from_nanos(self.answers.last.load(Ordering::SeqCst))
    }

    /// How many answers came long after they were asked for: let through by a fence that had held them back.
    fn held_back(&self) -> u64 {
        self.answers.held_back.load(Ordering::SeqCst)
    }

    /// Waits for an answer noted after now.
    fn answered(&self) {
        let (now, started) = (BootNanos::now(), Instant::now());
        while self.last_answer() <= now {
            assert!(started.elapsed() < LIMIT, "no answer came");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Watches for a while: nothing may be answered after `limit`, and the while ends well behind it.
    fn silent_after(&self, limit: BootNanos) {
        while BootNanos::now() < limit.plus(Duration::from_millis(500)) {
            thread::sleep(Duration::from_millis(5));
        }
        let last = self.last_answer();
        assert!(last <= limit.plus(NOTED_WITHIN), "answered {:?} after the limit", last.since(limit));
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

/// One connection, for as long as it works.
fn ask_again_and_again(answers: &Answers, stopped: &AtomicBool) {
    let server = SocketAddr::new(SERVER.parse().unwrap(), PORT);
    let Ok(mut stream) = TcpStream::connect_timeout(&server, Duration::from_millis(200)) else { return };
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut byte = [0];
    while !stopped.load(Ordering::SeqCst) && stream.write_all(&byte).is_ok() {
        let asked = Instant::now();
        while let Err(error) = stream.read_exact(&mut byte) {
            let patient = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            if !patient || stopped.load(Ordering::SeqCst) {
                return;
            }
        }
        answers.last.store(BootNanos::now().as_nanos(), Ordering::SeqCst);
        if asked.elapsed() > HELD_BACK {
            answers.held_back.fetch_add(1, Ordering::SeqCst);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Answers every byte on every connection.
fn serve() {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || {
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
            });
        }
    });
}

#[tokio::test]
async fn packets_stop_by_themselves_when_the_lease_has_run_out() {
    if !enter_own_network("the packet fence's test") {
        return;
    }
    serve();
    let client = Client::start();
    client.answered();
    let mut fence = KernelFence::new(PORT).unwrap();
    fence.install_for_primary().await.unwrap();
    client.silent_after(BootNanos::now());
    TcpStream::connect((SERVER, PORT)).expect("the machine itself always reaches its own port");

    let lease = Duration::from_millis(800);
    fence.renew(lease).unwrap();
    let end = BootNanos::now().plus(lease);
    client.answered();
    assert!(BootNanos::now() < end, "answered while the lease lasts");
    client.silent_after(end);

    fence.renew(Duration::from_secs(60)).unwrap();
    client.answered();
    fence.renew(Duration::from_millis(300)).unwrap();
    client.silent_after(BootNanos::now().plus(Duration::from_millis(300)));

    fence.renew(Duration::from_secs(60)).unwrap();
    client.answered();
    fence.close().unwrap();
    client.silent_after(BootNanos::now());
    fence.close().expect("closing twice is no error");

    fence.open_for_standby().await.unwrap();
    client.answered();
    assert_eq!(client.held_back(), 0, "an answer of the time without a lease was sent when the fence opened");
    fence.install_for_primary().await.unwrap();
    client.silent_after(BootNanos::now());
    fence.uninstall().await.unwrap();
    client.answered();
}

#[tokio::test]
async fn an_agent_that_restarts_finds_the_lease_of_its_predecessor() {
    if !enter_own_network("the packet fence's test") {
        return;
    }
    serve();
    let client = Client::start();
    let mut first = KernelFence::new(PORT).unwrap();
    first.install_for_primary().await.unwrap();
    first.renew(Duration::from_secs(60)).unwrap();
    client.answered();
    drop(first);
    let mut second = KernelFence::new(PORT).unwrap();
    second.install_for_primary().await.unwrap();
    client.answered();
}

#[tokio::test]
async fn a_fence_that_is_not_installed_says_so() {
    if !enter_own_network("the packet fence's test") {
        return;
    }
    assert_eq!(KernelFence::probe().await, Availability::Available);
    let mut fence = KernelFence::new(PORT).unwrap();
    assert!(matches!(fence.renew(Duration::from_secs(1)), Err(FenceError::NotInstalled)));
    fence.uninstall().await.expect("there is nothing to remove, which is no error");
}

#[tokio::test]
async fn without_rights_the_reason_is_told() {
    // SAFETY: the raw call changes this thread only, which ends with the test and runs nothing else.
    let outcome = unsafe { libc::syscall(libc::SYS_setresuid, 65_534, 65_534, 65_534) };
    if outcome != 0 && nix::unistd::geteuid().is_root() {
        panic!("could not give up root");
    }
    let Availability::Unavailable { reason } = KernelFence::probe().await else {
        panic!("it had the rights")
    };
    assert!(reason.contains("Operation not permitted"), "{reason}");
}
