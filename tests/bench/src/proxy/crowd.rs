//! Many quiet connections, and a server that takes them.

use std::time::Duration;

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Connections that are measured, and those before.
pub const CONNECTIONS: usize = 5_000;
pub const WARM_UP: usize = 200;

const ARRIVAL: Duration = Duration::from_secs(20);

/// Four descriptors for each connection, here and in the program, which inherits the limit.
pub fn raise_descriptors() -> anyhow::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

/// A server that says one byte to everybody.
#[derive(Debug)]
pub struct Stub {
    port: u16,
    arrived: tokio::sync::Mutex<mpsc::Receiver<TcpStream>>,
}

impl Stub {
    pub async fn listen() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (sender, arrived) = mpsc::channel(CONNECTIONS);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((mut stream, _)) = accepted else { return };
                        if stream.write_all(b"!").await.is_ok() && sender.send(stream).await.is_err() {
                            return;
                        }
                    }
                    () = sender.closed() => return,
                }
            }
        });
        Ok(Self { port, arrived: tokio::sync::Mutex::new(arrived) })
    }

    pub const fn port(&self) -> u16 {
        self.port
    }
}

/// Connections that have been carried to the stub, both ends.
#[derive(Debug)]
pub struct Crowd {
    _ends: Vec<(TcpStream, TcpStream)>,
}

impl Crowd {
    /// Opens `count` connections to `port`, one after the other; each has heard from the stub.
    pub async fn gather(stub: &Stub, port: u16, count: usize) -> anyhow::Result<Self> {
        let mut arrived = stub.arrived.lock().await;
        // Those who only looked whether somebody listens.
        while arrived.try_recv().is_ok() {}
        let mut ends = Vec::with_capacity(count);
        for _ in 0..count {
            let arrive = async {
                let mut client = TcpStream::connect(("127.0.0.1", port)).await?;
                client.read_exact(&mut [0]).await?;
                anyhow::Ok((client, arrived.recv().await.context("the stub has ended")?))
            };
            ends.push(tokio::time::timeout(ARRIVAL, arrive).await.context("a connection does not arrive")??);
        }
        Ok(Self { _ends: ends })
    }
}
