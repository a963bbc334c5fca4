use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use rustls::ServerConfig;
use sb_client::trust::{self, Alpn};
use sb_topology::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::http::connection::Server;
use crate::http::listener::{TLS_HANDSHAKE_SECONDS_MAX, bind};
use crate::http::{Caller, ListenError};

/// Most connections of peers at a time, handshakes included.
pub const PEER_CONNECTIONS_MAX: usize = 128;

/// A peer's connection for the store's frames.
#[derive(Debug)]
pub struct RaftConnection {
    /// Who is at the other end, by its certificate.
    pub peer: ServerName,
    /// The connection, past the TLS handshake.
    pub stream: TlsStream<TcpStream>,
}

/// The peer port: mutual TLS; the protocol agreed in the handshake says where a connection goes.
pub struct PeerListener {
    socket: TcpListener,
    tls: TlsAcceptor,
}

impl PeerListener {
    /// Listens on `address` with [`trust::Credentials::peer_server_config`].
    ///
    /// # Errors
    /// When the system refuses the address.
    pub async fn bind(address: SocketAddr, tls: Arc<ServerConfig>) -> Result<Self, ListenError> {
        Ok(Self { socket: bind(address).await?, tls: TlsAcceptor::from(tls) })
    }

    /// The address listened on, with the port that the system chose when 0 was asked for.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `stop`: peer calls by `router`, the store's connections by whoever receives from `raft`. While
    /// that one does not keep up, its new connections are closed; peers dial again.
    pub async fn serve(self, router: Router, raft: mpsc::Sender<RaftConnection>, stop: CancellationToken) {
        let server = Server::new(router, PEER_CONNECTIONS_MAX, stop);
        while let Some(place) = server.place().await {
            let Some((stream, from)) = server.next(&self.socket).await else { return };
            let (connection, tls, raft) = (server.clone(), self.tls.clone(), raft.clone());
            server.spawn(place, async move {
                let limit = Duration::from_secs(TLS_HANDSHAKE_SECONDS_MAX);
                match tokio::time::timeout(limit, handshake(&tls, stream)).await {
                    Ok(Ok(accepted)) => route(connection, accepted, &raft).await,
                    Ok(Err(error)) => tracing::debug!(%from, %error, "peer refused"),
                    Err(_) => tracing::debug!(%from, "peer took too long for its TLS handshake"),
                }
            });
        }
    }
}

struct Accepted {
    peer: ServerName,
    protocol: Alpn,
    stream: TlsStream<TcpStream>,
}

async fn handshake(tls: &TlsAcceptor, stream: TcpStream) -> io::Result<Accepted> {
    stream.set_nodelay(true)?;
    // What is lost on the way is sent again without ever longer pauses (tcp(7)).
    rustix::net::sockopt::set_tcp_thin_linear_timeouts(&stream, true)?;
    let stream = tls.accept(stream).await?;
    let session = stream.get_ref().1;
    let peer = trust::server_name(session.peer_certificates()).map_err(io::Error::other)?;
    let none = || io::Error::other("the peer asked for no protocol");
    let protocol = session.alpn_protocol().and_then(Alpn::from_id).ok_or_else(none)?;
    Ok(Accepted { peer, protocol, stream })
}

async fn route(server: Server, accepted: Accepted, raft: &mpsc::Sender<RaftConnection>) {
    let Accepted { peer, protocol, stream } = accepted;
    match protocol {
        Alpn::Http => {
            let caller = Caller::peer(peer);
            server.serve(stream, Arc::new(move |_: &HeaderMap| Some(caller.clone()))).await;
        }
        Alpn::Raft => {
            if let Err(error) = raft.try_send(RaftConnection { peer, stream }) {
                tracing::debug!(%error, "the store takes no connection at present");
            }
        }
    }
}
