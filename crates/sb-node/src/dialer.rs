//! How the store's members reach each other: TCP to the peer port, mutual TLS with the cluster's authority.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustls::ClientConfig;
use sb_client::trust::{Alpn, Credentials, TrustError, dial};
use sb_consensus::{BoxedStream, Connector, Lane, Member};
use sb_topology::ServerName;

/// Longest wait for a connection and its TLS handshake together, in milliseconds. A far site needs three round
/// trips of 80 ms; what takes much longer is better dialled anew.
const DIAL_MS_MAX: u64 = 2_000;

/// After this long without an acknowledgement the kernel gives a connection up (TCP_USER_TIMEOUT), in
/// milliseconds: about the longest election timeout, so that a dead path never outlives a new leader.
const UNACKNOWLEDGED_MS_MAX: u32 = 1_500;

/// Connects to the peer ports of the other servers.
#[derive(Debug)]
pub struct PeerDialer {
    config: Arc<ClientConfig>,
}

impl PeerDialer {
    /// A dialler that shows this server's certificate.
    ///
    /// # Errors
    /// When certificate and key do not belong together.
    pub fn new(credentials: &Credentials) -> Result<Self, TrustError> {
        Ok(Self { config: Arc::new(credentials.peer_client_config(Alpn::Raft)?) })
    }
}

#[async_trait]
impl Connector for PeerDialer {
    async fn connect(&self, member: &Member, _lane: Lane) -> io::Result<BoxedStream> {
        let name: ServerName = member.name.parse().map_err(invalid)?;
        let address: SocketAddr = member.address.parse().map_err(invalid)?;
        let limit = Duration::from_millis(DIAL_MS_MAX);
        let stream = dial(&name, address, self.config.clone(), limit).await.map_err(io::Error::other)?;
        let socket = stream.get_ref().0;
        rustix::net::sockopt::set_tcp_user_timeout(socket, UNACKNOWLEDGED_MS_MAX)?;
        Ok(Box::new(stream))
    }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}
