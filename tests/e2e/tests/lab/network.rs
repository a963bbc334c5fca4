//! Real packets through the router.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sb_lab::network::Network;
use sb_lab::stage::Inside;

use crate::{ground, place};

/// Slack for two wake-ups of a thread on a busy machine, each way, at the best of ten attempts.
const SLACK: Duration = Duration::from_millis(15);

/// Runs something on a thread inside a place's namespace.
fn at<T: Send + 'static>(
    network: &Network,
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let handle = network.namespace(place(name)).handle().expect("a handle");
    std::thread::spawn(move || {
        sb_lab::namespace::enter(handle.as_fd()).expect("to enter");
        work()
    })
}

/// A listener at a place; its sockets stay there whoever uses them.
fn listener(network: &Network, name: &str, port: u16) -> TcpListener {
    let address = place(name).address();
    at(network, name, move || TcpListener::bind((address, port)).expect("to listen"))
        .join()
        .expect("a listener")
}

fn echo(listener: TcpListener) {
    let (mut stream, _) = listener.accept().expect("a connection");
    stream.set_nodelay(true).expect("nodelay");
    let mut byte = [0];
    while stream.read_exact(&mut byte).is_ok() {
        stream.write_all(&byte).expect("an echo");
    }
}

fn best_round_trip(mut stream: TcpStream) -> Duration {
    stream.set_nodelay(true).expect("nodelay");
    let mut once = || {
        let start = Instant::now();
        stream.write_all(&[1]).expect("to send");
        stream.read_exact(&mut [0]).expect("an echo");
        start.elapsed()
    };
    (0..10).map(|_| once()).min().expect("ten round trips")
}

pub fn round_trips(inside: &Inside) {
    let network = &ground(inside).network;
    for (from, to) in [
        ("office", "ravena-1"),
        ("ravena-1", "burlington-1"),
        ("burlington-1", "montpelier-1"),
        ("ravena-2", "nantucket-1"),
        ("tucson-1", "ravena-1"),
    ] {
        let listener = listener(network, to, 7001);
        std::thread::spawn(move || echo(listener));
        let address = place(to).address();
        let connect = move || best_round_trip(TcpStream::connect((address, 7001)).expect("to connect"));
        let best = at(network, from, connect).join().expect("a round trip");
        let nominal = place(from).round_trip(place(to));
        println!("  {from} to {to}: {best:?}, nominal {nominal:?}");
        assert!(best >= nominal && best < nominal + SLACK, "{from} to {to}: {best:?} instead of {nominal:?}");
    }
}

pub fn throughput(inside: &Inside) {
    const BYTES: usize = 100 << 20;
    // A tenth of what an idle machine does: less would make the copy of a database take minutes.
    const MEGABYTES_A_SECOND_MIN: f64 = 8.0;
    let network = &ground(inside).network;
    let listener = listener(network, "ravena-2", 7002);
    let receiver = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        std::io::copy(&mut stream, &mut std::io::sink()).expect("bytes")
    });
    let address = place("ravena-2").address();
    let start = Instant::now();
    let send = move || {
        let mut stream = TcpStream::connect((address, 7002)).expect("to connect");
        let block = vec![7; 1 << 18];
        (0..BYTES / block.len()).for_each(|_| stream.write_all(&block).expect("to send"));
    };
    at(network, "ravena-1", send).join().expect("a sender");
    assert_eq!(receiver.join().expect("a receiver"), BYTES as u64);
    let rate = BYTES as f64 / start.elapsed().as_secs_f64() / 1e6;
    println!("  ravena-1 to ravena-2: {rate:.0} MB/s");
    assert!(rate > MEGABYTES_A_SECOND_MIN, "{rate:.0} MB/s");
}

pub fn one_way_cut(inside: &Inside) {
    let network = &ground(inside).network;
    let socket = |name: &str| {
        let address = place(name).address();
        let bind = move || UdpSocket::bind((address, 7003)).expect("a socket");
        let socket = at(network, name, bind).join().expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a limit");
        socket
    };
    let (ravena, tucson) = (socket("ravena-1"), socket("tucson-1"));
    let arrives = |from: &UdpSocket, to: &UdpSocket| {
        from.send_to(b"?", to.local_addr().expect("an address")).expect("to send");
        to.recv(&mut [0]).is_ok()
    };
    network.links().cut(&[place("ravena-1")], &[place("tucson-1")]);
    assert!(!arrives(&ravena, &tucson), "the cut direction carries a packet");
    assert!(arrives(&tucson, &ravena), "the other direction is cut too");
    assert_eq!(network.links().cuts(), [(place("ravena-1"), place("tucson-1"))]);
    network.links().heal().expect("to heal");
    assert!(arrives(&ravena, &tucson), "the link is not healed");
}

pub fn cut_port(inside: &Inside) {
    let network = &ground(inside).network;
    let _listeners = [7_005, 7_006].map(|port| listener(network, "tucson-1", port));
    let connects = |from: &str, port: u16| {
        let to = (place("tucson-1").address(), port).into();
        let connect = move || TcpStream::connect_timeout(&to, Duration::from_millis(500)).is_ok();
        at(network, from, connect).join().expect("a client")
    };
    network.links().cut_port(7_005).expect("to cut");
    assert!(!connects("ravena-1", 7_005), "the port is not cut");
    assert!(connects("ravena-1", 7_006), "another port is cut too");
    assert!(connects("office", 7_005), "the office is no server");
    assert!(connects("tucson-1", 7_005), "a server reaches itself");
    network.links().cut_port(7_006).expect("to cut");
    assert_eq!(network.links().cut_ports().into_iter().collect::<Vec<_>>(), [7_005, 7_006]);
    assert!(!connects("ravena-1", 7_005) && !connects("ravena-1", 7_006), "the first is not cut any more");
    network.links().heal().expect("to heal");
    assert!(connects("ravena-1", 7_005) && connects("ravena-1", 7_006), "a port is not healed");
}
