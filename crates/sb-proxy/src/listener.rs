use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::ClientStream;
use crate::connection::{Connection, House};
use crate::numbers::{Listening, Meter};
use crate::{Limits, Outlook, Passage, Routes, sockets};

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// For those who write: the primary.
    ReadWrite,
    /// For those who only read: a standby nearby.
    ReadOnly,
}

/// Whether connections begin with a [PROXY header](crate::proxy_header).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Header {
    /// They do not.
    #[default]
    None,
    /// Every one does. Only for addresses that nobody but the load balancer reaches.
    Required,
}

/// Where a listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At a TCP address.
    Tcp(SocketAddr),
    /// At a Unix socket of this path, open to every user of the machine. A socket there that nobody listens on is replaced.
    Unix(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(address) => address.fmt(f),
            Place::Unix(path) => path.display().fmt(f),
        }
    }
}

/// One listener of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Where it is.
    pub place: Place,
    /// What it is for.
    pub access: Access,
    /// What its connections begin with.
    pub header: Header,
}

impl ListenerConfig {
    /// A listener at `place` without PROXY headers.
    #[must_use]
    pub fn new(place: Place, access: Access) -> Self {
        Self { place, access, header: Header::None }
    }
}

/// A listener at work.
pub(crate) struct Listener {
    config: ListenerConfig,
    house: Arc<House>,
    outlook: watch::Sender<Arc<Outlook>>,
    connections: TaskTracker,
}

enum Socket {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _own: OwnSocket },
}

/// A socket that this proxy has bound; nobody finds it afterwards.
struct OwnSocket(PathBuf);

impl Drop for OwnSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    pub(crate) fn new(
        config: ListenerConfig,
        limits: Limits,
        meter: Arc<Meter>,
        connections: TaskTracker,
    ) -> Self {
        let dials = Semaphore::new(limits.dials_max);
        let house = Arc::new(House { limits, header: config.header, meter, dials });
        Self { config, house, outlook: watch::channel(Arc::default()).0, connections }
    }

    /// Listens until `stop`. Its connections end when it does.
    pub(crate) async fn run(self, mut routes: watch::Receiver<Routes>, stop: CancellationToken) {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.follow(&mut routes) => {}
            () = self.listen() => {}
        }
        self.note(self.config.place.to_string(), Listening::No);
    }

    /// Tells connections what changed for them. When nobody feeds routes any more, the proxy has ended.
    async fn follow(&self, routes: &mut watch::Receiver<Routes>) {
        routes.mark_changed();
        while routes.changed().await.is_ok() {
            let routes = routes.borrow_and_update().clone();
            self.outlook.send_if_modified(|known| {
                let mut outlook = Outlook::clone(known);
                outlook.follow(self.config.access, &routes, self.house.limits.lag_bytes_max);
                let changed = outlook != **known;
                if changed {
                    *known = Arc::new(outlook);
                }
                changed
            });
        }
    }

    async fn listen(&self) {
        loop {
            match bind(&self.config.place).await {
                Ok(socket) => self.accept_all(&socket).await,
                Err(error) => {
                    let place = self.config.place.to_string();
                    tracing::debug!(%place, %error, "the proxy cannot listen");
                    self.note(place, Listening::Failed(error.to_string()));
                    tokio::time::sleep(self.house.limits.bind_again).await;
                }
            }
        }
    }

    async fn accept_all(&self, socket: &Socket) {
        self.note(address(socket, &self.config.place), Listening::Yes);
        loop {
            match accept(socket).await {
                Ok((client, from)) => self.let_in(client, from),
                Err(error) => {
                    self.house.meter.accept_errors.add(1);
                    tracing::debug!(%error, "a connection cannot be accepted");
                    if !concerns_one_client(&error) {
                        tokio::time::sleep(self.house.limits.accept_again).await;
                    }
                }
            }
        }
    }

    fn let_in(&self, client: ClientStream, from: String) {
        let house = &self.house;
        let Some(seat) = house.meter.open.take(house.limits.connections_max) else {
            return house.meter.refused.add(1);
        };
        if let ClientStream::Tcp(stream) = &client
            && sockets::tend(stream, &house.limits).is_err()
        {
            // It has ended already.
            return;
        }
        house.meter.accepted.add(1);
        let passage = Passage::new(&house.limits, Instant::now());
        let outlook = self.outlook.subscribe();
        let connection = Connection { house: house.clone(), outlook, passage, from };
        self.connections.spawn(connection.serve(client, seat));
    }

    fn note(&self, place: String, listening: Listening) {
        self.house.meter.listening(place, listening);
    }
}

/// Whether the next client may be accepted at once, accept(2).
fn concerns_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

async fn accept(socket: &Socket) -> io::Result<(ClientStream, String)> {
    match socket {
        Socket::Tcp(listener) => {
            let (stream, from) = listener.accept().await?;
            Ok((ClientStream::Tcp(stream), from.to_string()))
        }
        Socket::Unix { listener, .. } => {
            let (stream, _) = listener.accept().await?;
            Ok((ClientStream::Unix(stream), "a Unix socket".to_owned()))
        }
    }
}

async fn bind(place: &Place) -> io::Result<Socket> {
    match place {
        Place::Tcp(address) => Ok(Socket::Tcp(TcpListener::bind(address).await?)),
        Place::Unix(path) => {
            make_way(path).await?;
            let listener = UnixListener::bind(path)?;
            let _own = OwnSocket(path.clone());
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
            Ok(Socket::Unix { listener, _own })
        }
    }
}

/// Takes away the socket that a proxy before this one has left.
async fn make_way(path: &Path) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    // Only a refused connection says that nobody is behind it: one whose queue is full lives.
    let refused = |answer: io::Result<_>| answer.is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
    if !found.file_type().is_socket() || !refused(UnixStream::connect(path).await) {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    std::fs::remove_file(path)
}

/// Where it listens, with the port that the system chose when 0 was asked for.
fn address(socket: &Socket, place: &Place) -> String {
    match socket {
        Socket::Tcp(listener) => listener.local_addr().map_or_else(|_| place.to_string(), |a| a.to_string()),
        Socket::Unix { .. } => place.to_string(),
    }
}
