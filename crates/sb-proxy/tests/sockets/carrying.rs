use sb_proxy::{Access, Limits};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::setup::{Server, Setup, end, hear, within};

async fn carried() -> (Setup, Server, tokio::net::TcpStream, tokio::net::TcpStream) {
    let setup = Setup::new(Access::ReadWrite, Limits::default()).await;
    let mut server = Server::new("a").await;
    setup.lead(1, &server.target);
    let (client, session) = setup.session(&mut server).await;
    (setup, server, client, session)
}

#[tokio::test]
async fn bytes_arrive_unchanged_and_in_order_both_ways_at_once() {
    let (setup, _server, client, session) = carried().await;
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let before = setup.numbers();
    let both = [client, session].map(|stream| {
        let bytes = bytes.clone();
        tokio::spawn(async move {
            let (mut reads, mut writes) = stream.into_split();
            let sent = bytes.clone();
            let writer = tokio::spawn(async move { writes.write_all(&sent).await.map(|()| writes) });
            let mut heard = vec![0; bytes.len()];
            reads.read_exact(&mut heard).await.unwrap();
            writer.await.unwrap().unwrap();
            assert!(heard == bytes);
        })
    });
    for one in both {
        within(one).await.unwrap();
    }
    let after = setup.numbers();
    assert_eq!(after.bytes_to_servers - before.bytes_to_servers, 3_000_000);
    assert_eq!(after.bytes_to_clients - before.bytes_to_clients, 3_000_000);
}

#[tokio::test]
async fn a_half_close_is_passed_on_and_the_answer_still_comes() {
    let (setup, _server, mut client, mut session) = carried().await;
    client.write_all(b"last words").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = Vec::new();
    within(session.read_to_end(&mut heard)).await.unwrap();
    assert_eq!(heard, b"last words");
    session.write_all(b"answer").await.unwrap();
    drop(session);
    assert_eq!(hear(&mut client, 6).await, b"answer");
    assert_eq!(end(&mut client).await, None);
    setup.until(|numbers| numbers.open == 0).await;
    assert_eq!(setup.numbers().cut, 0);
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_its_server_up_and_not_the_proxys_memory() {
    let (setup, _server, mut client, mut session) = carried().await;
    let flood = tokio::spawn(async move {
        let chunk = vec![7; 1 << 20];
        for _ in 0..64 {
            session.write_all(&chunk).await.unwrap();
        }
    });
    // The sockets between the two take a few MiB; then nothing moves until the client reads.
    let mut last = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = setup.numbers().bytes_to_clients;
        if now == last && now > 0 {
            break;
        }
        last = now;
    }
    assert!(last < 48 << 20 && !flood.is_finished(), "{last} bytes were taken from the server");
    let mut read = 0;
    let mut buffer = vec![0; 1 << 20];
    while read < 64 << 20 {
        read += within(client.read(&mut buffer)).await.unwrap();
    }
    within(flood).await.unwrap();
}

#[tokio::test]
async fn a_client_that_is_gone_without_a_word_ends_its_session_at_the_server() {
    let (setup, _server, client, mut session) = carried().await;
    client.set_zero_linger().unwrap();
    drop(client);
    assert!(end(&mut session).await.is_some(), "the server sees that this was no orderly end");
    setup.until(|numbers| numbers.open == 0).await;
}

#[tokio::test]
async fn a_client_that_stays_after_its_server_has_ended_is_let_go() {
    let limits = Limits { linger: Duration::from_millis(100), ..Limits::default() };
    let setup = Setup::new(Access::ReadWrite, limits).await;
    let mut server = Server::new("a").await;
    setup.lead(1, &server.target);
    let (mut client, session) = setup.session(&mut server).await;
    drop(session);
    assert_eq!(within(client.read(&mut [0])).await.unwrap(), 0, "it is told at once");
    setup.until(|numbers| numbers.open == 0).await;
    assert_eq!(setup.numbers().cut, 0);
}
