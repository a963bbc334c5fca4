//! Peers that are gone without a word: a network namespace in which every packet is lost from one moment on.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "this test needs little of it")]
#[path = "sockets/setup.rs"]
mod setup;

use std::process::Command;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use sb_proxy::{Access, Keepalive, Limits};
use setup::{Server, Setup};
use tokio::io::AsyncWriteExt;

/// Runs `test` on a thread that is alone in a network namespace. Without root it proves nothing, and says so.
#[allow(clippy::print_stderr, reason = "a skipped test must say so")]
fn in_a_namespace(test: impl AsyncFnOnce() + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("SKIPPED: network namespaces need root");
    }
    let inside = move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        run("ip", &["link", "set", "lo", "up"]);
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
    };
    std::thread::spawn(inside).join().unwrap();
}

fn run(program: &str, words: &[&str]) {
    assert!(Command::new(program).args(words).status().unwrap().success());
}

fn lose_every_packet() {
    let rules =
        "add table inet lost; add chain inet lost input { type filter hook input priority 0; policy drop; }";
    run("nft", &[rules]);
}

fn limits() -> Limits {
    let second = Duration::from_secs(1);
    let keepalive = Keepalive { idle: second, interval: second, count: 1 };
    Limits { keepalive, user_timeout: second, ..Limits::default() }
}

#[test]
fn an_idle_session_whose_peers_are_gone_is_ended_by_keepalive() {
    in_a_namespace(async || {
        let setup = Setup::new(Access::ReadWrite, limits()).await;
        let mut server = Server::new("a").await;
        setup.lead(1, &server.target);
        let _session = setup.session(&mut server).await;
        lose_every_packet();
        setup.until(|numbers| numbers.open == 0).await;
    });
}

#[test]
fn a_session_with_data_on_the_way_to_a_peer_that_is_gone_is_ended_by_the_user_timeout() {
    in_a_namespace(async || {
        let patient = Keepalive { idle: Duration::from_secs(3_600), ..limits().keepalive };
        let setup = Setup::new(Access::ReadWrite, Limits { keepalive: patient, ..limits() }).await;
        let mut server = Server::new("a").await;
        setup.lead(1, &server.target);
        let (_client, mut session) = setup.session(&mut server).await;
        // More than the sockets take: the proxy always has something on the way to its client.
        let flood = tokio::spawn(async move { while session.write_all(&[7; 65_536]).await.is_ok() {} });
        setup.until(|numbers| numbers.bytes_to_clients > 1 << 20).await;
        lose_every_packet();
        setup.until(|numbers| numbers.open == 0).await;
        flood.abort();
    });
}
