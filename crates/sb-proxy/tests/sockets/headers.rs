use std::time::Duration;

use sb_proxy::{Access, Header, Limits, ListenerConfig, Place};
use tokio::io::AsyncWriteExt;

use crate::setup::{Server, Setup, end, exchange, hear};

async fn expecting_headers(limits: Limits) -> Setup {
    let place = Place::Tcp("127.0.0.1:0".parse().unwrap());
    let listener =
        ListenerConfig { header: Header::Required, ..ListenerConfig::new(place, Access::ReadWrite) };
    Setup::with(listener, limits).await
}

#[tokio::test]
async fn a_header_is_taken_off_also_when_it_comes_in_pieces_or_with_more_behind_it() {
    let setup = expecting_headers(Limits::default()).await;
    let mut server = Server::new("a").await;
    setup.lead(1, &server.target);
    let mut pieces = setup.client().await;
    pieces.set_nodelay(true).unwrap();
    for piece in [&b"PROXY TCP4 192.0."[..], b"2.7 192.0.2.1 50", b"00 6432\r", b"\nstartup"] {
        pieces.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut session = server.session().await;
    assert_eq!(hear(&mut session, 7).await, b"startup");
    exchange(&mut pieces, &mut session).await;

    let mut whole = setup.client().await;
    whole.write_all(b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00startup").await.unwrap();
    assert_eq!(hear(&mut server.session().await, 7).await, b"startup");
}

#[tokio::test]
async fn without_a_header_in_time_nobody_is_let_in() {
    let limits = Limits { header: Duration::from_millis(150), ..Limits::default() };
    let setup = expecting_headers(limits).await;
    let server = Server::new("a").await;
    setup.lead(1, &server.target);
    let mut wrong = setup.client().await;
    wrong.write_all(b"\0\0\0\x08\x04\xd2\x16\x2f").await.unwrap();
    end(&mut wrong).await;
    setup.until(|numbers| numbers.bad_headers == 1).await;
    let mut late = setup.client().await;
    late.write_all(b"PROXY TCP4").await.unwrap();
    end(&mut late).await;
    setup.until(|numbers| numbers.bad_headers == 2 && numbers.open == 0).await;
    assert_eq!(server.waiting(), 0);
}
