//! Two servers that greet, a proxy before them, and a change of who leads:
//!
//! ```text
//! cargo run -p sb-proxy --example two_servers
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use sb_proxy::{Access, Leading, Limits, ListenerConfig, Listening, Place, Proxy, Routes, Target, Term};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (one, two) = (greeter("one").await?, greeter("two").await?);
    let (routes, fed) = watch::channel(Routes::default());
    let listener = ListenerConfig::new(Place::Tcp("127.0.0.1:0".parse()?), Access::ReadWrite);
    let proxy = std::sync::Arc::new(Proxy::new(vec![listener], Limits::default()));
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (proxy, stop) = (proxy.clone(), stop.clone());
        async move { proxy.run(fed, stop).await }
    });
    while proxy.numbers()[0].listening != Listening::Yes {
        tokio::task::yield_now().await;
    }

    // Nobody leads yet: the client is held, and the first to lead gets it.
    let mut client = TcpStream::connect(&proxy.numbers()[0].place).await?;
    routes.send_replace(leads(1, one));
    println!("carried to {}", hear(&mut client).await?);

    // Another leads in the next term: the old session is cut, a new one goes to the new server.
    routes.send_replace(leads(2, two));
    println!("cut: {}", hear(&mut client).await.is_err());
    let mut client = TcpStream::connect(&proxy.numbers()[0].place).await?;
    println!("carried to {}", hear(&mut client).await?);

    stop.cancel();
    running.await?;
    println!("{:#?}", proxy.numbers()[0]);
    Ok(())
}

fn leads(term: u64, target: Target) -> Routes {
    Routes { term: Term::new(term), primary: Leading::Open(target), standbys: Vec::new() }
}

async fn hear(client: &mut TcpStream) -> std::io::Result<String> {
    let mut name = vec![0; 3];
    client.read_exact(&mut name).await?;
    Ok(String::from_utf8_lossy(&name).into_owned())
}

/// A server that says its name to everybody.
async fn greeter(name: &'static str) -> std::io::Result<Target> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let target = Target::new(name, listener.local_addr()?);
    tokio::spawn(async move {
        let mut guests = Vec::new();
        while let Ok((mut guest, _)) = listener.accept().await {
            let _ = guest.write_all(name.as_bytes()).await;
            guests.push(guest);
        }
    });
    Ok(target)
}
