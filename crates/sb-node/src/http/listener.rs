use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, header};
use rustls::ServerConfig;
use sb_client::state::{Scope, Tokens};
use tokio::net::{TcpListener, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::http::Caller;
use crate::http::connection::{Identify, Server};

/// Most connections of one listener at a time; more wait in the system's queue.
pub const CONNECTIONS_MAX: usize = 64;

/// Longest TLS handshake, in seconds.
pub const TLS_HANDSHAKE_SECONDS_MAX: u64 = 5;

/// Longest bearer token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 256;

/// A listener cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another agent answers at the socket.
    #[error("another agent listens at `{path}`")]
    Running {
        /// The socket.
        path: PathBuf,
    },
    /// The system refused the socket.
    #[error("could not listen at `{path}`")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system refused the address.
    #[error("could not listen on {address}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The agent's Unix socket: root and the agent's own user may do everything, others nothing.
#[derive(Debug)]
pub struct UnixListener {
    socket: tokio::net::UnixListener,
}

/// The API's TCP port: TLS, then a bearer token.
pub struct ApiListener {
    socket: TcpListener,
    tls: TlsAcceptor,
    tokens: Arc<Tokens>,
}

/// The port of health checks: plain HTTP, nobody has to say who they are.
#[derive(Debug)]
pub struct HealthListener {
    socket: TcpListener,
}

impl UnixListener {
    /// Listens at `path`, readable and writable by the agent's own user only. A socket that an earlier agent left
    /// behind is replaced; one where an agent answers is not.
    ///
    /// # Errors
    /// When another agent answers there, or the system refuses.
    pub fn bind(path: &Path) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Socket { path: path.to_owned(), source };
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => return Err(ListenError::Running { path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(failed)?;
            }
            Err(_) => {}
        }
        let socket = tokio::net::UnixListener::bind(path).map_err(failed)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { socket })
    }

    /// Serves until `stop`.
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        let server = Server::new(router, CONNECTIONS_MAX, stop);
        while let Some(place) = server.place().await {
            let Some((stream, _)) = server.next(&self.socket).await else { return };
            let caller = unix_caller(&stream);
            let connection = server.clone();
            server.spawn(place, async move {
                let identify: Identify = Arc::new(move |_: &HeaderMap| caller.clone());
                connection.serve(stream, identify).await;
            });
        }
    }
}

/// Whom the system says is at the other end of a Unix socket.
fn unix_caller(stream: &UnixStream) -> Option<Caller> {
    let uid = stream.peer_cred().ok()?.uid();
    let own = rustix::process::geteuid().as_raw();
    Some(match uid {
        0 => Caller::person("root", Scope::Admin),
        uid if uid == own => Caller::person(format!("user {uid}"), Scope::Admin),
        uid => Caller::stranger(uid),
    })
}

impl ApiListener {
    /// Listens on `address`. Callers are looked up in `tokens`.
    ///
    /// # Errors
    /// When the system refuses the address.
    pub async fn bind(
        address: SocketAddr,
        tls: Arc<ServerConfig>,
        tokens: Arc<Tokens>,
    ) -> Result<Self, ListenError> {
        Ok(Self { socket: bind(address).await?, tls: TlsAcceptor::from(tls), tokens })
    }

    /// The address listened on, with the port that the system chose when 0 was asked for.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `stop`.
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        let server = Server::new(router, CONNECTIONS_MAX, stop);
        let tokens = self.tokens;
        let identify: Identify = Arc::new(move |headers: &HeaderMap| token_caller(headers, &tokens));
        while let Some(place) = server.place().await {
            let Some((stream, _)) = server.next(&self.socket).await else { return };
            let (connection, identify, tls) = (server.clone(), identify.clone(), self.tls.clone());
            server.spawn(place, async move {
                let limit = Duration::from_secs(TLS_HANDSHAKE_SECONDS_MAX);
                match tokio::time::timeout(limit, tls.accept(stream)).await {
                    Ok(Ok(stream)) => connection.serve(stream, identify).await,
                    Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                    Err(_) => tracing::debug!("TLS handshake took too long"),
                }
            });
        }
    }
}

/// Who holds the bearer token of a request (RFC 6750, section 2.1).
fn token_caller(headers: &HeaderMap, tokens: &Tokens) -> Option<Caller> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let usable = scheme.eq_ignore_ascii_case("bearer") && token.len() <= TOKEN_BYTES_MAX;
    let entry = if usable { tokens.find(token.trim()) } else { None }?;
    Some(Caller::person(entry.name.clone(), entry.scope))
}

impl HealthListener {
    /// Listens on `address`.
    ///
    /// # Errors
    /// When the system refuses the address.
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        Ok(Self { socket: bind(address).await? })
    }

    /// The address listened on, with the port that the system chose when 0 was asked for.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves [`super::health_router`] until `stop`.
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        let server = Server::new(router, CONNECTIONS_MAX, stop);
        while let Some(place) = server.place().await {
            let Some((stream, _)) = server.next(&self.socket).await else { return };
            let connection = server.clone();
            server.spawn(place, async move {
                connection.serve(stream, Arc::new(|_: &HeaderMap| None)).await;
            });
        }
    }
}

pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError::Address { address, source })
}
