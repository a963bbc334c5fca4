use std::io::ErrorKind;
use std::time::Duration;

use sb_proxy::{Access, Leading, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::setup::{Server, Setup, end, exchange, within};

#[tokio::test]
async fn a_new_term_resets_both_sides_of_every_session_on_the_old_primary() {
    let setup = Setup::new(Access::ReadWrite, Limits::default()).await;
    let (mut old, mut new) = (Server::new("old").await, Server::new("new").await);
    setup.lead(1, &old.target);
    let (mut client, mut session) = setup.session(&mut old).await;
    setup.lead(2, &new.target);
    assert_eq!(end(&mut client).await, Some(ErrorKind::ConnectionReset));
    assert_eq!(end(&mut session).await, Some(ErrorKind::ConnectionReset));
    setup.until(|numbers| numbers.cut == 1 && numbers.open == 0).await;
    setup.session(&mut new).await;
}

#[tokio::test]
async fn a_primary_that_is_lost_in_its_term_is_cut_off_too() {
    let setup = Setup::new(Access::ReadWrite, Limits::default()).await;
    let mut server = Server::new("a").await;
    setup.lead(1, &server.target);
    let (mut client, _session) = setup.session(&mut server).await;
    setup.tell(1, Leading::Nobody);
    assert_eq!(end(&mut client).await, Some(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn routes_of_an_older_term_bring_nobody_back_to_the_old_primary() {
    let setup = Setup::new(Access::ReadWrite, Limits::default()).await;
    let (old, mut new) = (Server::new("old").await, Server::new("new").await);
    setup.lead(2, &new.target);
    setup.session(&mut new).await;
    setup.lead(1, &old.target);
    let (mut client, mut session) = setup.session(&mut new).await;
    exchange(&mut client, &mut session).await;
    assert_eq!(old.waiting(), 0);
}

/// What waits in the proxy and in its sockets is thrown away: only what had reached the client's own kernel is read.
#[tokio::test]
async fn a_client_in_the_middle_of_a_long_result_hears_nothing_more_of_the_old_primary() {
    let setup = Setup::new(Access::ReadWrite, Limits::default()).await;
    let mut old = Server::new("old").await;
    setup.lead(1, &old.target);
    let (mut client, mut session) = setup.session(&mut old).await;
    let flood = tokio::spawn(async move { while session.write_all(&[7; 65_536]).await.is_ok() {} });
    setup.until(|numbers| numbers.bytes_to_clients > 100_000).await;
    // Nothing else runs on this thread before the connection is told.
    let passed_on = setup.numbers().bytes_to_clients;
    setup.tell(2, Leading::Nobody);
    setup.until(|numbers| numbers.open == 0).await;
    let mut heard = Vec::new();
    let ended = within(client.read_to_end(&mut heard)).await;
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset, "an orderly end would hide the cut");
    assert!(heard.len() as u64 <= passed_on);
    within(flood).await.unwrap();
    assert_eq!(setup.numbers().bytes_to_clients, passed_on);
}

#[tokio::test]
async fn a_closing_primary_keeps_its_sessions_until_they_end_and_newcomers_wait() {
    let setup = Setup::new(Access::ReadWrite, Limits::default()).await;
    let (mut old, mut new) = (Server::new("old").await, Server::new("new").await);
    setup.lead(1, &old.target);
    let (mut client, mut session) = setup.session(&mut old).await;
    setup.tell(1, Leading::Closing(old.target.clone()));
    let mut newcomer = setup.client().await;
    setup.until(|numbers| numbers.held == 1).await;
    exchange(&mut client, &mut session).await;
    session.write_all(b"57P01").await.unwrap();
    drop(session);
    assert_eq!(crate::setup::hear(&mut client, 5).await, b"57P01", "the server's own last word arrives");
    setup.lead(2, &new.target);
    exchange(&mut newcomer, &mut new.session().await).await;
    assert_eq!(old.waiting(), 0);
}

#[tokio::test]
async fn the_end_of_the_proxy_cuts_every_session_and_closes_the_listener() {
    let setup = Setup::new(Access::ReadWrite, Limits::default()).await;
    let mut server = Server::new("a").await;
    setup.lead(1, &server.target);
    let (mut client, mut session) = setup.session(&mut server).await;
    let place = setup.numbers().place;
    setup.stop.cancel();
    assert!(end(&mut client).await.is_some());
    assert!(end(&mut session).await.is_some());
    let refused = async {
        while tokio::net::TcpStream::connect(&place).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(refused).await;
}
