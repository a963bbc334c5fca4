//! The mesh's rules in a real packet filter: network namespaces with lines between them, of which one counts as the tunnel.
#![allow(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test that cannot run here says so, and panics when it fails"
)]

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use sb_node::mesh::Firewall;

const SERVICE: u16 = 5432;
const OTHER: u16 = 8888;
const LIMIT: Duration = Duration::from_secs(5);
/// A packet that is dropped is never answered: how long to wait for nothing.
const SILENCE: Duration = Duration::from_millis(300);

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn reaches(address: &str) -> bool {
    match TcpStream::connect_timeout(&addr(address), SILENCE) {
        Ok(mut stream) => {
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            stream.read_exact(&mut [0]).is_ok()
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{address}: {error}");
            false
        }
    }
}

/// Says one byte to whoever comes.
fn serve(port: u16) {
    let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|mut stream| stream.write_all(b"x"));
        }
    });
}

fn firewall(members: &[&str]) -> Firewall {
    Firewall {
        interface: "sb0".into(),
        ports: BTreeSet::from([SERVICE]),
        members: members.iter().map(|text| text.parse().unwrap()).collect(),
        carried: BTreeSet::new(),
    }
}

fn in_force(firewall: &Firewall) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(firewall.install()).unwrap();
}

/// A namespace with the far ends of both lines: 10.0.2.1 and 10.0.9.9 on the tunnel, 203.0.113.2 outside.
fn far_side(ready: &mpsc::Sender<String>, lines: &mpsc::Receiver<()>) {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let thread = nix::unistd::gettid();
    ready.send(format!("/proc/{}/task/{thread}/ns/net", std::process::id())).unwrap();
    lines.recv_timeout(LIMIT).unwrap();
    ip("link set lo up");
    for (device, address) in [("far0", "10.0.2.1/16"), ("far1", "203.0.113.2/24")] {
        ip(&format!("addr add {address} dev {device}"));
        ip(&format!("link set {device} up"));
    }
    ip("addr add 10.0.9.9/16 dev far0");
}

fn near_side(far: &str) {
    ip("link set lo up");
    for (device, peer, address) in [("sb0", "far0", "10.0.1.1/16"), ("wan0", "far1", "203.0.113.1/24")] {
        ip(&format!("link add {device} type veth peer name {peer} netns {far}"));
        ip(&format!("addr add {address} dev {device}"));
        ip(&format!("link set {device} up"));
    }
}

#[test]
fn services_are_reached_by_members_through_the_tunnel_and_by_nobody_else() {
    if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
        eprintln!("SKIPPED: network namespaces are refused: {errno}");
        return;
    }
    let (ready, known) = mpsc::channel();
    let (laid, lines) = mpsc::channel();
    let (asked, questions) = mpsc::channel::<&'static str>();
    let (answered, answers) = mpsc::channel();
    let far = std::thread::spawn(move || {
        far_side(&ready, &lines);
        for address in questions {
            answered.send(reaches(address)).unwrap();
        }
    });
    near_side(&known.recv_timeout(LIMIT).unwrap());
    serve(SERVICE);
    serve(OTHER);
    in_force(&firewall(&["10.0.1.1", "10.0.2.1"]));
    laid.send(()).unwrap();
    let from_far = |address: &'static str| {
        asked.send(address).unwrap();
        answers.recv_timeout(LIMIT).unwrap()
    };
    assert!(from_far("10.0.1.1:5432"), "a member comes in through the tunnel");
    assert!(!from_far("203.0.113.1:5432"), "nobody comes in from outside");
    assert!(from_far("203.0.113.1:8888"), "other ports are not ours to close");
    assert!(reaches("10.0.1.1:5432"), "the server reaches itself");
    in_force(&firewall(&["10.0.1.1", "10.0.3.1"]));
    assert!(!from_far("10.0.1.1:5432"), "who is no member any more is shut out");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Firewall::uninstall()).unwrap();
    assert!(from_far("203.0.113.1:5432"), "without the rules the port is open to the world");
    drop(asked);
    far.join().unwrap();
}

/// A namespace behind the tunnel: its one way out leads to the carrier, 10.0.1.1. Holds it until `end`.
fn peer(address: &'static str, ready: mpsc::Sender<String>, linked: mpsc::Receiver<()>) -> Peer {
    let (asked, questions) = mpsc::channel::<Question>();
    let (answered, answers) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let thread = nix::unistd::gettid();
        ready.send(format!("/proc/{}/task/{thread}/ns/net", std::process::id())).unwrap();
        linked.recv_timeout(LIMIT).unwrap();
        for command in ["link set lo up", "link set far up"] {
            ip(command);
        }
        ip(&format!("addr add {address}/32 dev far"));
        ip("route add 10.0.1.1/32 dev far");
        ip("route add default via 10.0.1.1 dev far");
        echo(OTHER);
        let mut open = None;
        for question in questions {
            answered.send(question.ask(&mut open)).unwrap();
        }
    });
    Peer { asked, answers, thread }
}

struct Peer {
    asked: mpsc::Sender<Question>,
    answers: mpsc::Receiver<bool>,
    thread: std::thread::JoinHandle<()>,
}

impl Peer {
    fn asks(&self, question: Question) -> bool {
        self.asked.send(question).unwrap();
        self.answers.recv_timeout(LIMIT).unwrap()
    }

    fn end(self) {
        drop(self.asked);
        self.thread.join().unwrap();
    }
}

enum Question {
    /// Whether a new connection is taken; it stays open.
    Connects(&'static str),
    /// Whether what is sent over the open one comes back.
    Talks,
}

impl Question {
    fn ask(self, open: &mut Option<TcpStream>) -> bool {
        if let Self::Connects(address) = self {
            *open = TcpStream::connect_timeout(&addr(address), SILENCE).ok();
        }
        let Some(stream) = open else { return false };
        stream.set_read_timeout(Some(SILENCE)).unwrap();
        stream.write_all(b"x").is_ok() && stream.read_exact(&mut [0]).is_ok()
    }
}

/// Sends back what comes, to everybody at once.
fn echo(port: u16) {
    let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut from, mut to) = stream.and_then(|stream| Ok((stream.try_clone()?, stream))).unwrap();
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
    });
}

fn setting(path: &str, value: &str) {
    std::fs::write(format!("/proc/sys/net/ipv4/conf/{path}"), value).unwrap();
}

/// The carrier: a bridge stands for the tunnel, since packets leave it by the interface that they came in by.
fn carrier(peers: &[(&str, &str)]) {
    ip("link set lo up");
    ip("link add sb0 type bridge");
    ip("addr add 10.0.1.1/32 dev sb0");
    for path in ["all/send_redirects", "sb0/send_redirects"] {
        setting(path, "0");
    }
    setting("sb0/forwarding", "1");
    ip("link set sb0 up");
    for (index, (namespace, address)) in peers.iter().enumerate() {
        ip(&format!("link add near{index} type veth peer name far netns {namespace}"));
        ip(&format!("link set near{index} master sb0"));
        // From one to another only by the carrier's routes.
        ip(&format!("link set near{index} type bridge_slave isolated on"));
        ip(&format!("link set near{index} up"));
        ip(&format!("route add {address}/32 dev sb0"));
    }
}

#[test]
fn between_peers_passes_what_a_relay_carries_and_nothing_else() {
    if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
        eprintln!("SKIPPED: network namespaces are refused: {errno}");
        return;
    }
    let addresses = ["10.0.2.1", "10.0.3.1", "10.0.4.1"];
    let mut namespaces = Vec::new();
    let mut peers = Vec::new();
    let mut lines = Vec::new();
    for address in addresses {
        let ((ready, known), (laid, linked)) = (mpsc::channel(), mpsc::channel());
        peers.push(peer(address, ready, linked));
        namespaces.push(known.recv_timeout(LIMIT).unwrap());
        lines.push(laid);
    }
    let ends: Vec<(&str, &str)> = namespaces.iter().map(String::as_str).zip(addresses).collect();
    carrier(&ends);
    lines.into_iter().for_each(|laid| laid.send(()).unwrap());
    let carried = |pairs: &[(&str, &str)]| {
        let both = pairs.iter().flat_map(|(one, other)| [(*one, *other), (*other, *one)]);
        let parse = |text: &str| -> IpAddr { text.parse().unwrap() };
        let carried = both.map(|(from, to)| (parse(from), parse(to))).collect();
        in_force(&Firewall { carried, ..firewall(&["10.0.1.1", "10.0.2.1", "10.0.3.1", "10.0.4.1"]) });
    };

    carried(&[]);
    assert!(!peers[0].asks(Question::Connects("10.0.3.1:8888")), "nobody is carried");
    carried(&[("10.0.2.1", "10.0.3.1")]);
    assert!(peers[1].asks(Question::Connects("10.0.2.1:8888")), "the pair is carried, either way");
    assert!(!peers[2].asks(Question::Connects("10.0.2.1:8888")), "a third does not come to one of them");
    assert!(!peers[0].asks(Question::Connects("10.0.4.1:8888")), "nor one of them to a third");
    assert!(peers[0].asks(Question::Connects("10.0.3.1:8888")));
    assert!(peers[0].asks(Question::Talks));
    carried(&[]);
    assert!(!peers[0].asks(Question::Talks), "connections that are there end with the relay");
    peers.into_iter().for_each(Peer::end);
}

#[test]
fn what_an_earlier_mesh_left_on_is_switched_off_and_a_stranger_s_interface_is_not_touched() {
    if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
        eprintln!("SKIPPED: network namespaces are refused: {errno}");
        return;
    }
    ip("link add sb0 type bridge");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let withdrawn = || {
        runtime.block_on(Firewall::withdraw("sb0")).unwrap();
        std::fs::read_to_string("/proc/sys/net/ipv4/conf/sb0/forwarding").unwrap()
    };
    setting("sb0/forwarding", "1");
    assert_eq!(withdrawn().trim(), "1", "no mesh of ours was here");
    in_force(&firewall(&["10.0.1.1"]));
    assert_eq!(withdrawn().trim(), "0", "it carried others' packets when its agent ended");
    runtime.block_on(Firewall::withdraw("sb9")).unwrap();
}
