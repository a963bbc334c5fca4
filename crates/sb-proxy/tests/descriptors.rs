//! A process that has no file descriptor left. The limit is the process's, so this test has one of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "this test needs little of it")]
#[path = "sockets/setup.rs"]
mod setup;

use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use sb_proxy::{Access, Limits};
use setup::{Server, Setup, within};
use tokio::net::TcpSocket;

#[tokio::test]
async fn without_descriptors_accepting_pauses_and_goes_on_when_there_are_some() {
    let limits = Limits::default();
    let setup = Setup::new(Access::ReadWrite, limits).await;
    let mut server = Server::new("a").await;
    setup.lead(1, &server.target);
    let place = setup.numbers().place.parse().unwrap();
    let client = TcpSocket::new_v4().unwrap();
    let before = getrlimit(Resource::Nofile);
    // The system gives the lowest number that is free.
    let next = std::fs::File::open("/dev/null").unwrap().as_raw_fd();
    let mut none_left = before;
    none_left.current = Some(u64::try_from(next).unwrap());
    setrlimit(Resource::Nofile, none_left).unwrap();

    let began = Instant::now();
    let _client = within(client.connect(place)).await.unwrap();
    setup.until(|numbers| numbers.accept_errors >= 3).await;
    let pauses = began.elapsed().as_millis() / limits.accept_again.as_millis() + 1;
    assert!(u128::from(setup.numbers().accept_errors) <= pauses, "{:?}", setup.numbers());
    assert!(began.elapsed() >= Duration::from_millis(200), "three attempts have two pauses between them");

    setrlimit(Resource::Nofile, before).unwrap();
    server.session().await;
}
