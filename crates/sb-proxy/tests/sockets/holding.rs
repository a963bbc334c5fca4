use std::time::Duration;

use sb_proxy::{Access, Leading, Limits};
use tokio::io::AsyncWriteExt;

use crate::setup::{Server, Setup, end, exchange, free_address, hear};

#[tokio::test]
async fn clients_wait_while_there_is_no_primary_and_what_they_said_reaches_the_next_one() {
    let setup = Setup::new(Access::ReadWrite, Limits::default()).await;
    let mut clients = [setup.client().await, setup.client().await];
    for client in &mut clients {
        client.write_all(b"startup").await.unwrap();
    }
    setup.until(|numbers| numbers.held == 2).await;
    let mut server = Server::new("a").await;
    setup.lead(1, &server.target);
    for _ in &clients {
        let mut session = server.session().await;
        assert_eq!(hear(&mut session, 7).await, b"startup");
    }
    setup.until(|numbers| numbers.held == 0 && numbers.open == 2).await;
}

#[tokio::test]
async fn nobody_is_held_longer_than_the_bound() {
    let limits = Limits { hold: Duration::from_millis(200), ..Limits::default() };
    let setup = Setup::new(Access::ReadWrite, limits).await;
    let began = std::time::Instant::now();
    let mut client = setup.client().await;
    assert_eq!(end(&mut client).await, None);
    assert!(began.elapsed() >= limits.hold);
    setup.until(|numbers| numbers.held_too_long == 1 && numbers.open == 0).await;
}

#[tokio::test]
async fn more_clients_than_may_be_held_are_closed_at_once_and_counted() {
    let limits = Limits { held_max: 3, ..Limits::default() };
    let setup = Setup::new(Access::ReadWrite, limits).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(setup.client().await);
    }
    setup.until(|numbers| numbers.held == 3).await;
    let mut one_more = setup.client().await;
    assert_eq!(end(&mut one_more).await, None);
    setup.until(|numbers| numbers.refused == 1 && numbers.held == 3).await;
}

#[tokio::test]
async fn a_server_that_refuses_is_tried_until_it_listens() {
    let setup = Setup::new(Access::ReadWrite, Limits::default()).await;
    let address = free_address().await;
    setup.lead(1, &sb_proxy::Target::new("a", address));
    let mut client = setup.client().await;
    setup.until(|numbers| numbers.failed_dials >= 2 && numbers.held == 1).await;
    let mut server = Server::at("a", address).await;
    exchange(&mut client, &mut server.session().await).await;
}

#[tokio::test]
async fn a_connect_that_is_under_way_is_given_up_when_the_primary_is_another() {
    let setup = Setup::new(Access::ReadWrite, Limits::default()).await;
    let full = socket_that_takes_nobody_more().await;
    setup.lead(1, &sb_proxy::Target::new("silent", full.address));
    let mut client = setup.client().await;
    setup.until(|numbers| numbers.held == 1).await;
    let mut new = Server::new("new").await;
    setup.lead(2, &new.target);
    exchange(&mut client, &mut new.session().await).await;
}

#[tokio::test]
async fn a_client_that_hangs_up_while_it_waits_frees_its_place() {
    let setup = Setup::new(Access::ReadWrite, Limits::default()).await;
    let mut client = setup.client().await;
    client.write_all(b"startup").await.unwrap();
    setup.until(|numbers| numbers.held == 1).await;
    drop(client);
    setup.until(|numbers| numbers.open == 0 && numbers.held == 0).await;
    assert_eq!(setup.numbers().held_too_long, 0);
}

#[tokio::test]
async fn a_closing_primary_that_stays_is_open_to_those_who_waited() {
    let setup = Setup::new(Access::ReadWrite, Limits::default()).await;
    let mut server = Server::new("a").await;
    setup.tell(1, Leading::Closing(server.target.clone()));
    let mut client = setup.client().await;
    setup.until(|numbers| numbers.held == 1).await;
    setup.lead(1, &server.target);
    exchange(&mut client, &mut server.session().await).await;
}

/// A listener whose queue is full: connects to it neither succeed nor fail.
struct Silent {
    address: std::net::SocketAddr,
    _listener: std::net::TcpListener,
    _queued: Vec<tokio::net::TcpStream>,
}

async fn socket_that_takes_nobody_more() -> Silent {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, 1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    let limit = Duration::from_millis(300);
    while let Ok(stream) = tokio::time::timeout(limit, tokio::net::TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
    }
    Silent { address, _listener: listener, _queued: queued }
}
