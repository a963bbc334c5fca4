use std::os::unix::net::UnixListener as BlockingUnixListener;
use std::time::Duration;

use sb_proxy::{Access, Limits, ListenerConfig, Listening, Place};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};

use crate::setup::{Server, Setup, hear, within};

fn patient() -> Limits {
    Limits { bind_again: Duration::from_millis(20), ..Limits::default() }
}

#[tokio::test]
async fn an_address_in_use_is_told_and_taken_as_soon_as_it_is_free() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = Place::Tcp(taken.local_addr().unwrap());
    let setup = Setup::begin(ListenerConfig::new(place, Access::ReadWrite), patient());
    setup
        .until(|numbers| matches!(&numbers.listening, Listening::Failed(why) if why.contains("in use")))
        .await;
    drop(taken);
    setup.until(|numbers| numbers.listening == Listening::Yes).await;
}

#[tokio::test]
async fn a_unix_socket_serves_and_replaces_one_that_nobody_listens_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("proxy").join(".s.PGSQL.6432");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    drop(BlockingUnixListener::bind(&path).unwrap());
    let listener = ListenerConfig::new(Place::Unix(path.clone()), Access::ReadWrite);
    let setup = Setup::with(listener, patient()).await;
    let mut server = Server::new("a").await;
    setup.lead(1, &server.target);
    let mut client = UnixStream::connect(&path).await.unwrap();
    client.write_all(b"startup").await.unwrap();
    let mut session = server.session().await;
    assert_eq!(hear(&mut session, 7).await, b"startup");
    session.write_all(b"answer").await.unwrap();
    let mut heard = [0; 6];
    within(client.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"answer");
    drop((client, session));
    setup.until(|numbers| numbers.open == 0).await;
    setup.stop.cancel();
    setup.until(|numbers| numbers.listening == Listening::No).await;
}

#[tokio::test]
async fn a_unix_socket_that_somebody_else_serves_or_a_file_of_that_name_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let _living = BlockingUnixListener::bind(&path).unwrap();
    let listener = ListenerConfig::new(Place::Unix(path.clone()), Access::ReadWrite);
    let setup = Setup::begin(listener, patient());
    setup.until(|numbers| matches!(numbers.listening, Listening::Failed(_))).await;
    setup.stop.cancel();
    setup.until(|numbers| numbers.listening == Listening::No).await;
    let file = directory.path().join("file");
    std::fs::write(&file, "kept").unwrap();
    let listener = ListenerConfig::new(Place::Unix(file.clone()), Access::ReadWrite);
    let setup = Setup::begin(listener, patient());
    setup.until(|numbers| matches!(numbers.listening, Listening::Failed(_))).await;
    setup.stop.cancel();
    setup.until(|numbers| numbers.listening == Listening::No).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
    assert!(path.exists());
}
