//! Hosts for tests, made of network namespaces, and lines between them; ports on loopback for tests that need no host of
//! their own. Nothing that ships depends on it.
//!
//! Whatever cannot be done panics: a test fails by panicking.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};

/// Longest wait of [`eventually`].
const LIMIT: Duration = Duration::from_secs(15);
/// Pause between two looks of [`eventually`].
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// Below what the kernel gives to connections and to listeners that take any port, so that a server that is killed finds its
/// port free when it starts again.
const PORTS: Range<u16> = 20_000..30_000;

/// Ports on loopback that nobody listens on now and that this process has not been given before. Where a process begins
/// follows from its number, so that two at a time keep out of each other's way.
#[must_use]
pub fn ports(count: usize) -> Vec<u16> {
    const STRIDE: u32 = 97;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let size = u32::from(PORTS.end - PORTS.start);
    let first = std::process::id().wrapping_mul(STRIDE);
    let next = || {
        let at = first.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % size;
        let port = PORTS.start + u16::try_from(at).unwrap();
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(port)
    };
    let ports: Vec<_> = (0..size).filter_map(|_| next()).take(count).collect();
    assert_eq!(ports.len(), count, "all ports of {PORTS:?} are taken");
    ports
}

/// Whether there can be namespaces: they need root. A test without it says so and proves nothing.
#[allow(clippy::print_stderr, reason = "a skipped test must say so")]
#[must_use]
pub fn is_root() -> bool {
    let is = nix::unistd::geteuid().is_root();
    if !is {
        eprintln!("SKIPPED: network namespaces and TUN devices need root");
    }
    is
}

/// A network namespace; it ends with the last handle and the last process inside.
#[derive(Debug)]
pub struct Host {
    namespace: File,
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    /// Makes one in which only loopback is up.
    #[must_use]
    pub fn new() -> Self {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            File::open("/proc/thread-self/ns/net").unwrap()
        };
        let host = Self { namespace: std::thread::spawn(make).join().unwrap() };
        host.ip("link set lo up");
        host
    }

    /// Another handle of the same host.
    #[must_use]
    pub fn handle(&self) -> Self {
        Self { namespace: self.namespace.try_clone().unwrap() }
    }

    /// Moves the calling thread inside; threads that it starts from there are inside too.
    pub fn enter(&self) {
        setns(&self.namespace, CloneFlags::CLONE_NEWNET).unwrap();
    }

    /// Runs work on a thread inside.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            self.enter();
            work()
        };
        std::thread::scope(|scope| scope.spawn(inside).join().unwrap())
    }

    /// A program that will run inside, without standard input.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let namespace = self.namespace.try_clone().unwrap();
        // SAFETY: between fork and exec only one system call is made.
        unsafe { command.pre_exec(move || Ok(setns(&namespace, CloneFlags::CLONE_NEWNET)?)) };
        command.stdin(Stdio::null());
        command
    }

    /// Runs `ip` with these words inside, and answers what it wrote.
    pub fn ip(&self, words: &str) -> String {
        succeed(self.command("ip").args(words.split(' ')))
    }

    /// Lays a line to another host: name and address, with its prefix, of the interface at each end.
    pub fn lay_line(
        &self,
        other: &Self,
        (name, address): (&str, &str),
        (far_name, far_address): (&str, &str),
    ) {
        let place = |host: &Self| format!("/proc/{}/fd/{}", std::process::id(), host.namespace.as_raw_fd());
        let mut command = self.command("ip");
        command.args(["link", "add", name, "netns", &place(self), "type", "veth"]);
        succeed(command.args(["peer", "name", far_name, "netns", &place(other)]));
        for (host, name, address) in [(self, name, address), (other, far_name, far_address)] {
            // Nobody else is on the line who could have the address.
            let at_once = if address.contains(':') { " nodad" } else { "" };
            host.ip(&format!("addr add {address} dev {name}{at_once}"));
            host.ip(&format!("link set {name} up"));
        }
    }

    /// Whether one ping is answered within a second; `more` are further arguments of `ping`.
    #[must_use]
    pub fn ping(&self, to: &str, more: &[&str]) -> bool {
        let mut ping = self.command("ping");
        ping.args(["-c", "1", "-W", "1"]).args(more).arg(to).stdout(Stdio::null()).stderr(Stdio::null());
        ping.status().unwrap().success()
    }

    /// Waits until a ping is answered.
    pub fn reaches(&self, to: &str) {
        eventually(&format!("a ping to {to}"), || self.ping(to, &[]));
    }
}

/// Waits until it is so.
pub fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        std::thread::sleep(LOOK_PAUSE);
    }
}

/// Runs a command to its end and answers what it wrote.
pub fn succeed(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}
