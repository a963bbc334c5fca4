//! The lab itself: its network, its faults, and that nothing survives it.
#![allow(clippy::print_stdout, reason = "measurements are shown with the test")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use sb_e2e::{Case, Program};
use sb_lab::network::Network;
use sb_lab::place::Place;
use sb_lab::stage::Inside;

fn main() -> ExitCode {
    sb_e2e::run(&Program {
        outside: &[],
        inside: &[
            Case { name: "round_trips_are_those_of_the_real_sites", body: round_trips },
            Case { name: "a_link_carries_a_hundred_megabytes_a_second", body: throughput },
        ],
    })
}

fn network(inside: &Inside) -> &'static Network {
    static NETWORK: OnceLock<Network> = OnceLock::new();
    NETWORK.get_or_init(|| {
        inside.mount().expect("mounts");
        Network::build().expect("network")
    })
}

fn place(name: &str) -> Place {
    Place::named(name).expect("a place of the lab")
}

/// Runs something on a thread inside a place's namespace.
fn at<T: Send + 'static>(
    network: &Network,
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    let handle = network.namespace(place(name)).handle().expect("a handle");
    std::thread::spawn(move || {
        sb_lab::namespace::enter(std::os::fd::AsFd::as_fd(&handle)).expect("to enter");
        work()
    })
}

fn listener(network: &Network, name: &str, port: u16) -> TcpListener {
    let address: Ipv4Addr = place(name).address();
    at(network, name, move || TcpListener::bind((address, port)).expect("to listen"))
        .join()
        .expect("a listener")
}

fn round_trips(inside: &Inside) {
    let network = network(inside);
    for (from, to) in [
        ("office", "ravena-1"),
        ("ravena-1", "burlington-1"),
        ("burlington-1", "montpelier-1"),
        ("ravena-2", "nantucket-1"),
        ("tucson-1", "ravena-1"),
    ] {
        let listener = listener(network, to, 7001);
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            stream.set_nodelay(true).expect("nodelay");
            let mut byte = [0];
            while stream.read_exact(&mut byte).is_ok() {
                stream.write_all(&byte).expect("an echo");
            }
        });
        let address = place(to).address();
        let best = at(network, from, move || {
            let mut stream = TcpStream::connect((address, 7001)).expect("to connect");
            stream.set_nodelay(true).expect("nodelay");
            (0..10)
                .map(|_| {
                    let start = Instant::now();
                    stream.write_all(&[1]).expect("to send");
                    stream.read_exact(&mut [0]).expect("an echo");
                    start.elapsed()
                })
                .min()
                .expect("ten round trips")
        })
        .join()
        .expect("a round trip");
        let nominal = place(from).round_trip(place(to));
        println!("{from} to {to}: {best:?}, nominal {nominal:?}");
        assert!(
            best >= nominal && best < nominal + Duration::from_millis(1),
            "{from} to {to}: {best:?} instead of {nominal:?}"
        );
    }
}

fn throughput(inside: &Inside) {
    const BYTES: usize = 200 << 20;
    let network = network(inside);
    let listener = listener(network, "ravena-2", 7002);
    let receiver = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut buffer = vec![0; 1 << 18];
        let mut bytes = 0;
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            bytes += n;
        }
        bytes
    });
    let address = place("ravena-2").address();
    let start = Instant::now();
    at(network, "ravena-1", move || {
        let mut stream = TcpStream::connect((address, 7002)).expect("to connect");
        let block = vec![7; 1 << 18];
        for _ in 0..BYTES / block.len() {
            stream.write_all(&block).expect("to send");
        }
    })
    .join()
    .expect("a sender");
    assert_eq!(receiver.join().expect("a receiver"), BYTES);
    let rate = BYTES as f64 / start.elapsed().as_secs_f64() / 1e6;
    println!("ravena-1 to ravena-2: {rate:.0} MB/s");
    assert!(rate > 40.0, "{rate:.0} MB/s");
}
