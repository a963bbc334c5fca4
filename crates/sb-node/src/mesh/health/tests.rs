//! Two servers' interfaces and probers in network namespaces: real devices, real sockets, and paths that lose.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sb_consensus::MemoryStore;
use sb_testnet::{Host, succeed};
use sb_topology::MeshMode;
use sb_wireguard::{AllowedIp, DesiredInterface, DesiredPeer, PeerKind, PrivateKey};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::prober::open;
use super::{Circle, Finding, Prober};
use crate::Layout;
use crate::journal::Journal;
use crate::mesh::Firewall;
use crate::mesh::agreed::Agreed;
use crate::mesh::agreement::AgreementLine;
use crate::mesh::callers::Callers;
use crate::mesh::knowledge::Knowledge;
use crate::mesh::preshared::{PairFile, PresharedKeeper, PresharedLine};
use crate::mesh::proposer::Proposer;
use crate::mesh::reconcile::Reconciler;
use crate::mesh::rotation::{KeyLine, Order, OwnRotation, RotationFiles, Rotator, nudge};
use crate::mesh::upkeep::Upkeep;
use crate::mesh::wanted::Documents;
use crate::replicated::Replicated;

/// Longest wait for a condition: a search takes a quarter of this on an idle machine.
const LIMIT: Duration = Duration::from_secs(90);
/// Longest stand-still of a stream.
const STREAM_LIMIT: Duration = Duration::from_secs(30);
const STREAM_BYTES: usize = 3_000_000;

/// What the paths of these tests are like.
trait Path {
    /// Lays a line to another host. What it takes is cut into packets before it is sent, as on a real one.
    fn line_to(&self, other: &Self);

    /// Loses what comes over the line and matches, from now on.
    fn loses(&self, what: &str);
}

impl Path for Host {
    fn line_to(&self, other: &Self) {
        self.lay_line(other, ("line", "192.0.2.1/24"), ("line", "192.0.2.2/24"));
        for host in [self, other] {
            host.ip("link set line gso_max_segs 1");
        }
    }

    fn loses(&self, what: &str) {
        let rules = format!(
            "add table ip path; flush table ip path; \
             add chain ip path in {{ type filter hook input priority -300; }}; \
             add rule ip path in iifname line udp dport 51820 {what} drop"
        );
        succeed(self.command("nft").arg(rules));
    }
}

/// What keeps the key of a server, which nobody replaces here.
fn rotator(
    layout: &Layout,
    desired: &DesiredInterface,
    key: &PrivateKey,
    line: (KeyLine, tokio::sync::mpsc::Receiver<Order>),
    journal: Arc<Journal>,
) -> Rotator {
    let mut file =
        File::options().write(true).create_new(true).mode(0o600).open(layout.mesh_key_file()).unwrap();
    file.write_all(key.expose_base64().as_bytes()).unwrap();
    let files = RotationFiles::new(layout);
    let own = OwnRotation::open(&desired.server, None, files, &Agreed::default()).unwrap();
    Rotator::new(&desired.server, desired.peers.len(), own, line, journal)
}

/// One server's interface, kept and probed until this is dropped.
struct Server {
    knowledge: Knowledge,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
    _files: TempDir,
}

impl Server {
    fn start(host: &Host, desired: DesiredInterface, key: PrivateKey) -> Self {
        let files = tempfile::tempdir().unwrap();
        let layout = Layout::new(files.path().into(), files.path().into(), files.path().into());
        let journal = Arc::new(Journal::open(&layout.journal_file(), desired.server.as_str()).unwrap());
        let (line, orders) = KeyLine::new();
        let rotator = rotator(&layout, &desired, &key, (line.clone(), orders), journal.clone());
        let (secrets, orders) = PresharedLine::new();
        let (nobody, file) = (std::iter::empty(), PairFile::empty(&layout));
        let preshared = (secrets.clone(), orders);
        let preshared = PresharedKeeper::new(&desired.server, nobody, file, preshared, journal.clone());
        let agreement = AgreementLine::open(&layout, journal.clone(), Arc::default()).watch();
        let knowledge = Knowledge::new(agreement, line, secrets);
        let circle = Circle::of(&desired);
        let addresses = desired.peers.iter().map(|peer| (peer.name.clone(), peer.addresses[0].address()));
        let addresses: BTreeMap<_, _> = addresses.collect();
        let (sessions, findings) = (knowledge.sessions.subscribe(), knowledge.findings.clone());
        let prober = Prober::new(&circle, sessions, findings, knowledge.sights.clone());
        let firewall = Firewall {
            interface: desired.name.clone(),
            ports: [5432].into(),
            members: addresses.values().copied().collect(),
            carried: BTreeSet::new(),
        };
        let upkeep = Upkeep::new(desired.clone(), key, MeshMode::Userspace);
        let documents: Documents = Box::new(move |_, _| Ok(desired.clone()));
        let (shared, keys) = (knowledge.clone(), (documents, rotator, preshared));
        let troubles = Arc::default();
        let reconciler = Reconciler::new(upkeep, keys, firewall, addresses, shared, journal, troubles);
        let agreed = knowledge.agreed.clone();
        let stop = CancellationToken::new();
        let (ready, begun) = mpsc::channel();
        let thread = {
            let (host, stop) = (host.handle(), stop.clone());
            std::thread::spawn(move || {
                // Threads that the runtime makes are where this one is.
                host.enter();
                let mut runtime = tokio::runtime::Builder::new_multi_thread();
                let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
                runtime.block_on(async {
                    let mut reconciler = reconciler;
                    reconciler.begin().await.unwrap();
                    ready.send(()).unwrap();
                    let (_group, store) = MemoryStore::bootstrap("here", Replicated::default());
                    let proposer = Proposer::new(store, agreed);
                    let keeping = tokio::spawn(reconciler.keep(proposer, BTreeMap::new(), stop.clone()));
                    prober.run(stop).await;
                    keeping.await.unwrap();
                });
            })
        };
        begun.recv_timeout(LIMIT).unwrap();
        Self { knowledge, stop, thread: Some(thread), _files: files }
    }

    /// What it knows of its only peer.
    fn finding(&self) -> Option<Finding> {
        self.knowledge.findings.borrow().values().next().copied()
    }

    /// Whether it finds its only direct session up; [`None`] while it cannot tell.
    fn is_up(&self) -> Option<bool> {
        self.knowledge.sights.borrow().told(Instant::now()).first().map(|sight| sight.up)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.thread.take().map(JoinHandle::join);
    }
}

/// Two hosts with a line, and a server on each: 10.9.0.1 and 10.9.0.2.
fn two_servers() -> Option<[(Host, Server); 2]> {
    if !nix::unistd::geteuid().is_root() {
        skipped();
        return None;
    }
    let hosts = [Host::new(), Host::new()];
    hosts[0].line_to(&hosts[1]);
    let keys = [PrivateKey::generate(), PrivateKey::generate()];
    let number = std::sync::atomic::AtomicU32::fetch_add(&COUNT, 1, std::sync::atomic::Ordering::Relaxed);
    let desired = |own: usize| {
        let other = 1 - own;
        let place = |at: usize| -> AllowedIp { format!("10.9.0.{}/32", at + 1).parse().unwrap() };
        let peer = DesiredPeer {
            name: format!("server-{other}").parse().unwrap(),
            kind: PeerKind::Server,
            public_key: keys[other].public_key(),
            preshared_key: None,
            endpoints: vec![format!("192.0.2.{}:51820", other + 1).parse().unwrap()],
            keepalive_seconds: 25,
            addresses: vec![place(other)],
        };
        DesiredInterface {
            server: format!("server-{own}").parse().unwrap(),
            name: format!("sbh{}x{number}x{own}", std::process::id() % 100_000),
            mtu: 1420,
            listen_port: 51820,
            address: place(own),
            peers: vec![peer],
            without_key: Vec::new(),
        }
    };
    let servers = [0, 1].map(|own| Server::start(&hosts[own], desired(own), keys[own].clone()));
    let [left, right] = hosts;
    let [one, other] = servers;
    Some([(left, one), (right, other)])
}

/// The interfaces' control sockets share a directory.
static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

#[allow(clippy::print_stderr, reason = "a test that cannot run here says so")]
fn skipped() {
    eprintln!("SKIPPED: network namespaces and TUN devices need root");
}

fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Sends a stream from one host to another; how many bytes arrive.
fn stream(from: &Host, to: &Host, address: &str) -> usize {
    let address: IpAddr = address.parse().unwrap();
    let listener = to.run(|| TcpListener::bind((address, 0)).unwrap());
    let place = listener.local_addr().unwrap();
    std::thread::scope(|scope| {
        let receiver = scope.spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            client.set_read_timeout(Some(STREAM_LIMIT)).unwrap();
            let mut received = Vec::new();
            client.read_to_end(&mut received).unwrap_or(0)
        });
        from.run(|| {
            let mut stream = TcpStream::connect_timeout(&place, STREAM_LIMIT).unwrap();
            stream.set_write_timeout(Some(STREAM_LIMIT)).unwrap();
            let _ = stream.write_all(&vec![7; STREAM_BYTES]);
        });
        receiver.join().unwrap()
    })
}

#[test]
fn a_path_that_swallows_large_packets_in_silence_is_found_and_used_with_smaller_ones() {
    let Some([(left, one), (right, other)]) = two_servers() else { return };
    let both = [&one, &other];
    eventually("full packets came through both ways", || {
        both.iter().all(|server| server.finding().is_some_and(|found| found.full_size() == Some(true)))
    });
    // A datagram of WireGuard over IPv4 is 60 bytes longer than the packet in it.
    left.loses("meta length > 1280");
    right.loses("meta length > 1280");
    for server in both {
        eventually("a smaller size was found", || {
            server.finding().is_some_and(|found| {
                found.full_size() == Some(false)
                    && found.narrowed.is_some_and(|size| (1200..=1220).contains(&size))
            })
        });
        assert_eq!(server.is_up(), Some(true), "small packets pass all the time");
    }
    for (host, server, to) in [(&left, &one, "10.9.0.2"), (&right, &other, "10.9.0.1")] {
        let size = server.finding().and_then(|found| found.narrowed).unwrap();
        eventually("the route was narrower", || {
            host.ip(&format!("route show {to}")).contains(&format!("mtu {size}"))
        });
    }
    assert_eq!(stream(&left, &right, "10.9.0.2"), STREAM_BYTES);
    assert_eq!(stream(&right, &left, "10.9.0.1"), STREAM_BYTES);
    eventually("the status told so", || {
        let said = one.knowledge.status().unwrap().peers.remove(0);
        said.full_size == Some(false) && said.mtu == one.finding().map(|found| found.size)
    });
}

#[test]
fn a_size_that_the_route_does_not_take_any_more_can_still_be_tried() {
    let Some([(left, one), _right]) = two_servers() else { return };
    eventually("there was a session", || one.finding().is_some_and(|found| found.round_trip.is_some()));
    let device = one.knowledge.status().unwrap().interface;
    left.ip(&format!("route replace 10.9.0.2/32 dev {device} proto static scope link mtu 1300"));
    left.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let socket = open("10.9.0.1:0".parse().unwrap()).unwrap();
            let sent = socket.send_to(&[0; 1392], "10.9.0.2:9").await;
            assert_eq!(sent.unwrap(), 1392);
            let longer = socket.send_to(&[0; 1393], "10.9.0.2:9").await;
            assert_eq!(longer.unwrap_err().raw_os_error(), Some(libc::EMSGSIZE), "it is not sent in pieces");
        });
    });
}

#[test]
fn what_is_lost_on_one_way_is_told_as_loss_and_a_cut_one_way_is_down_on_both_ends() {
    let Some([(_left, one), (right, other)]) = two_servers() else { return };
    let both = [&one, &other];
    for server in both {
        eventually("the direct session was up", || server.is_up() == Some(true));
        let found = server.finding().unwrap();
        assert!(found.round_trip.is_some_and(|time| time < Duration::from_secs(1)), "{found:?}");
        let clock = found.clock.unwrap();
        assert!(
            clock.micros.unsigned_abs() <= clock.uncertainty_us + 1_000,
            "one clock, two servers: {clock:?}"
        );
    }
    right.loses("numgen inc mod 4 0");
    for server in both {
        eventually("loss was told", || {
            server
                .finding()
                .and_then(|found| found.loss_percent)
                .is_some_and(|loss| (10..=60).contains(&loss))
        });
    }
    right.loses("meta length > 0");
    for server in both {
        eventually("the direct session was down", || server.is_up() == Some(false));
    }
}

/// The interface of one end of a line, kept by hand.
fn end(own: usize, kind: PeerKind, keys: &[PrivateKey; 2]) -> Upkeep {
    let other = 1 - own;
    let place = |at: usize| -> AllowedIp { format!("10.9.0.{}/32", at + 1).parse().unwrap() };
    let number = std::sync::atomic::AtomicU32::fetch_add(&COUNT, 1, std::sync::atomic::Ordering::Relaxed);
    let endpoint =
        (kind == PeerKind::Server).then(|| format!("192.0.2.{}:51820", other + 1).parse().unwrap());
    let desired = DesiredInterface {
        server: format!("server-{own}").parse().unwrap(),
        name: format!("sbh{}x{number}x{own}", std::process::id() % 100_000),
        mtu: 1420,
        listen_port: 51820,
        address: place(own),
        peers: vec![DesiredPeer {
            name: format!("server-{other}").parse().unwrap(),
            kind,
            public_key: keys[other].public_key(),
            preshared_key: None,
            endpoints: endpoint.into_iter().collect(),
            keepalive_seconds: 0,
            addresses: vec![place(other)],
        }],
        without_key: Vec::new(),
    };
    Upkeep::new(desired, keys[own].clone(), MeshMode::Userspace)
}

/// Looks once; whether the peer has been heard.
fn look(host: &Host, upkeep: &mut Upkeep) -> bool {
    let looked = host.run(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.unwrap().block_on(upkeep.look(Duration::ZERO, &Agreed::default())).unwrap()
    });
    looked.observed.peers.iter().any(|peer| peer.last_handshake.is_some())
}

#[test]
fn a_server_that_starts_again_calls_the_operator_that_it_heard_last() {
    if !nix::unistd::geteuid().is_root() {
        return skipped();
    }
    let files = tempfile::tempdir().unwrap();
    let callers = || Callers::open(files.path().join("callers.json"));
    let hosts = [Host::new(), Host::new()];
    hosts[0].line_to(&hosts[1]);
    let keys = [PrivateKey::generate(), PrivateKey::generate()];
    let (mut server, mut desk) = (end(0, PeerKind::Operator, &keys), end(1, PeerKind::Server, &keys));
    server.callers = callers();
    look(&hosts[0], &mut server);
    look(&hosts[1], &mut desk);
    hosts[1].run(|| nudge(&desk.desired));
    eventually("the operator called", || look(&hosts[0], &mut server));
    drop(server);

    // The desk sends nothing by itself.
    let mut server = end(0, PeerKind::Operator, &keys);
    server.callers = callers();
    look(&hosts[0], &mut server);
    hosts[0].run(|| nudge(&server.desired));
    eventually("there was a session again", || look(&hosts[0], &mut server));
}
