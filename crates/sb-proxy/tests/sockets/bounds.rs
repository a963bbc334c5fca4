use std::time::Duration;

use sb_proxy::{Access, Limits};

use crate::setup::{Server, Setup, end, exchange};

#[tokio::test]
async fn one_connection_more_than_the_maximum_is_closed_at_once_and_the_others_go_on() {
    let limits = Limits { connections_max: 2, ..Limits::default() };
    let setup = Setup::new(Access::ReadWrite, limits).await;
    let mut server = Server::new("a").await;
    setup.lead(1, &server.target);
    let (mut one, mut at_one) = setup.session(&mut server).await;
    let (two, at_two) = setup.session(&mut server).await;
    let mut three = setup.client().await;
    assert_eq!(end(&mut three).await, None);
    setup.until(|numbers| numbers.refused == 1 && numbers.open == 2).await;
    exchange(&mut one, &mut at_one).await;
    drop((two, at_two));
    setup.until(|numbers| numbers.open == 1).await;
    setup.session(&mut server).await;
}

#[tokio::test]
async fn clients_that_say_nothing_take_no_more_than_the_maximum() {
    let limits = Limits { connections_max: 20, ..Limits::default() };
    let setup = Setup::new(Access::ReadWrite, limits).await;
    let server = Server::new("a").await;
    setup.lead(1, &server.target);
    let mut idle = Vec::new();
    for _ in 0..80 {
        idle.push(setup.client().await);
    }
    setup.until(|numbers| numbers.accepted == 20 && numbers.refused == 60).await;
    assert_eq!(setup.numbers().open, 20);
    drop((idle, server));
    setup.until(|numbers| numbers.open == 0).await;
}

#[tokio::test]
async fn few_connects_are_under_way_at_a_time_and_all_get_their_turn() {
    let limits = Limits { dials_max: 2, ..Limits::default() };
    let setup = Setup::new(Access::ReadWrite, limits).await;
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(setup.client().await);
    }
    setup.until(|numbers| numbers.held == 40).await;
    let mut server = Server::new("a").await;
    setup.lead(1, &server.target);
    for _ in &clients {
        server.session().await;
    }
}

/// What a keepalive or a user timeout finds, the kernel tells as an error of the socket; `tests/vanished.rs` has peers
/// that are really gone. Here: nobody who lives is ended by them.
#[tokio::test]
async fn a_session_that_is_idle_for_longer_than_the_keepalive_goes_on() {
    let second = Duration::from_secs(1);
    let keepalive = sb_proxy::Keepalive { idle: second, interval: second, count: 1 };
    let limits = Limits { keepalive, user_timeout: second, ..Limits::default() };
    let setup = Setup::new(Access::ReadWrite, limits).await;
    let mut server = Server::new("a").await;
    setup.lead(1, &server.target);
    let (mut client, mut session) = setup.session(&mut server).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    exchange(&mut client, &mut session).await;
}
