//! Members over loopback, without authentication: for tests and examples only.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sb_consensus::{
    BoxedStream, Connector, Lane, Member, OnFatalDisk, OpenError, RaftConfig, RaftStore, StateMachine, Store,
    Timings,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The dialler says its name in front of everything else; a real embedder has it from a certificate.
pub struct PlainTcp {
    name: String,
}

#[async_trait]
impl Connector for PlainTcp {
    async fn connect(&self, member: &Member, _lane: Lane) -> io::Result<BoxedStream> {
        let mut stream = TcpStream::connect(&member.address).await?;
        stream.set_nodelay(true)?;
        let length = u8::try_from(self.name.len()).map_err(io::Error::other)?;
        stream.write_all(&[&[length], self.name.as_bytes()].concat()).await?;
        Ok(Box::new(stream))
    }
}

/// Whether a directory begins a group or goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Bootstrap,
    Open,
}

/// A member that listens on loopback.
pub struct Node<S: StateMachine> {
    pub store: Store<S>,
    listener: JoinHandle<()>,
}

impl<S: StateMachine + Default> Node<S> {
    pub async fn start(dir: &Path, name: &str, start: Start) -> Result<Self, OpenError> {
        Self::start_with(dir, name, start, |_| {}).await
    }

    pub async fn start_with(
        dir: &Path,
        name: &str,
        start: Start,
        adjust: impl FnOnce(&mut RaftConfig),
    ) -> Result<Self, OpenError> {
        let mut config = RaftConfig::new("test", dir, name, "127.0.0.1:0");
        config.timings =
            Timings { tick_ms: 10, heartbeat_ms: 50, election_min_ms: 200, election_max_ms: 350 };
        // A test that ends takes the directories away while members may still write to them.
        config.on_fatal_disk = OnFatalDisk::call(|error| tracing::error!("{error}: {:?}", error.source));
        adjust(&mut config);
        let listener = TcpListener::bind(&config.address).await.expect("the address is free");
        config.address = listener.local_addr().expect("a bound listener has an address").to_string();
        let connector = Arc::new(PlainTcp { name: name.to_owned() });
        let store = match start {
            Start::Bootstrap => RaftStore::bootstrap(config, S::default(), connector)?,
            Start::Open => RaftStore::open(config, S::default(), connector)?,
        };
        let listener = tokio::spawn(accept(listener, store.clone()));
        Ok(Self { store, listener })
    }

    /// As when the process is killed: no goodbye. Returns when the directory is free.
    pub async fn kill(self) {
        let mut health = self.store.health();
        self.listener.abort();
        let _ = self.listener.await;
        drop(self.store);
        let stopped = health.wait_for(|health| health.role == sb_consensus::Role::Stopped);
        let _ = tokio::time::timeout(Duration::from_secs(10), stopped).await;
    }

    pub async fn shutdown(self) {
        self.store.shutdown().await;
        self.listener.abort();
    }
}

async fn accept<S: StateMachine>(listener: TcpListener, store: Store<S>) {
    // Connections end with the listener.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, store.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve<S: StateMachine>(mut stream: TcpStream, store: Store<S>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut name = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut name).await?;
    let name = String::from_utf8(name).map_err(io::Error::other)?;
    store.serve(Box::new(stream), &name).await.map_err(io::Error::other)
}
