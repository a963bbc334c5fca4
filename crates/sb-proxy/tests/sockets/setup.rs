use std::net::SocketAddr;
use std::time::Duration;

use sb_proxy::{
    Access, Leading, Limits, ListenerConfig, ListenerNumbers, Listening, Place, Proxy, Routes, Standby,
    Target, Term,
};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Longest wait for anything that is expected, in seconds.
const EXPECTED_SECONDS_MAX: u64 = 20;

/// A server that the test plays: it takes connections and hands them over.
pub struct Server {
    pub target: Target,
    sessions: mpsc::Receiver<TcpStream>,
}

impl Server {
    pub async fn new(name: &str) -> Self {
        Self::at(name, "127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn at(name: &str, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let target = Target::new(name, listener.local_addr().unwrap());
        let (sender, sessions) = mpsc::channel(1_000);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    accepted = listener.accept() => sender.send(accepted.unwrap().0).await.unwrap(),
                    () = sender.closed() => return,
                }
            }
        });
        Self { target, sessions }
    }

    /// The next session that reaches it.
    pub async fn session(&mut self) -> TcpStream {
        within(self.sessions.recv()).await.unwrap()
    }

    /// How many sessions wait to be taken by the test.
    pub fn waiting(&self) -> usize {
        self.sessions.len()
    }
}

/// An address of loopback at which nobody listens, until the test does.
pub async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A proxy with one listener, and the routes in the test's hand.
pub struct Setup {
    pub routes: watch::Sender<Routes>,
    pub proxy: Arc<Proxy>,
    pub stop: CancellationToken,
}

impl Setup {
    pub async fn new(access: Access, limits: Limits) -> Self {
        Self::with(ListenerConfig::new(Place::Tcp("127.0.0.1:0".parse().unwrap()), access), limits).await
    }

    pub async fn with(listener: ListenerConfig, limits: Limits) -> Self {
        let setup = Self::begin(listener, limits);
        setup.until(|numbers| numbers.listening == Listening::Yes).await;
        setup
    }

    pub fn begin(listener: ListenerConfig, limits: Limits) -> Self {
        let (routes, fed) = watch::channel(Routes::default());
        let proxy = Arc::new(Proxy::new(vec![listener], limits));
        let stop = CancellationToken::new();
        let (running, ending) = (proxy.clone(), stop.clone());
        tokio::spawn(async move { running.run(fed, ending).await });
        Self { routes, proxy, stop }
    }

    pub fn numbers(&self) -> ListenerNumbers {
        self.proxy.numbers().remove(0)
    }

    /// Waits until the numbers are so.
    pub async fn until(&self, so: impl Fn(&ListenerNumbers) -> bool) {
        let limit = std::time::Instant::now() + Duration::from_secs(EXPECTED_SECONDS_MAX);
        while !so(&self.numbers()) {
            assert!(std::time::Instant::now() < limit, "the numbers stay at {:?}", self.numbers());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub fn lead(&self, term: u64, server: &Target) {
        self.tell(term, Leading::Open(server.clone()));
    }

    pub fn tell(&self, term: u64, primary: Leading) {
        self.routes.send_modify(|routes| (routes.term, routes.primary) = (Term::new(term), primary));
    }

    /// Standbys with their lag in bytes and their distance in milliseconds.
    pub fn standbys(&self, standbys: &[(&Target, u64, u64)]) {
        let standby = |&(target, lag_bytes, far): &(&Target, u64, u64)| Standby {
            target: target.clone(),
            lag_bytes,
            distance: Duration::from_millis(far),
        };
        self.routes.send_modify(|routes| routes.standbys = standbys.iter().map(standby).collect());
    }

    pub async fn client(&self) -> TcpStream {
        within(TcpStream::connect(self.numbers().place)).await.unwrap()
    }

    /// A client that is carried, and its session at `server`.
    pub async fn session(&self, server: &mut Server) -> (TcpStream, TcpStream) {
        let mut client = self.client().await;
        let mut session = server.session().await;
        exchange(&mut client, &mut session).await;
        (client, session)
    }
}

/// Waits for what is expected.
pub async fn within<F: Future>(expected: F) -> F::Output {
    let limit = Duration::from_secs(EXPECTED_SECONDS_MAX);
    tokio::time::timeout(limit, expected).await.expect("what was expected did not come")
}

/// Says something in both directions.
pub async fn exchange(client: &mut TcpStream, session: &mut TcpStream) {
    client.write_all(b"question").await.unwrap();
    assert_eq!(hear(session, 8).await, b"question");
    session.write_all(b"answer").await.unwrap();
    assert_eq!(hear(client, 6).await, b"answer");
}

/// The next `count` bytes.
pub async fn hear(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut heard = vec![0; count];
    within(stream.read_exact(&mut heard)).await.unwrap();
    heard
}

/// How a connection ends when nothing more is said on it: the error, or none for an orderly end.
pub async fn end(stream: &mut TcpStream) -> Option<std::io::ErrorKind> {
    let mut rest = Vec::new();
    within(stream.read_to_end(&mut rest)).await.err().map(|error| error.kind())
}
