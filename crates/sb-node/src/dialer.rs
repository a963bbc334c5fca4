//! How the store's members reach each other: TCP to the peer port, mutual TLS with the cluster's authority.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::ClientConfig;
use sb_client::trust::{Alpn, Credentials, TrustError, dial};
use sb_consensus::{BoxedStream, Connector, Lane, Member};
use sb_topology::ServerName;

/// Longest wait for a connection and its TLS handshake together, in milliseconds. A far site needs three round
/// trips of 80 ms; what takes much longer is better dialled anew.
const DIAL_MS_MAX: u64 = 2_000;

/// How many connections are tried at a time, and how much later each begins than the one before, in milliseconds. A
/// lost SYN is sent again after a second (RFC 6298), which is what a lost packet may cost here at most.
const DIALS_AT_A_TIME_MAX: u32 = 4;
const DIAL_STAGGER_MS: u32 = 250;

/// After this long without an acknowledgement the kernel gives a connection up (TCP_USER_TIMEOUT), in
/// milliseconds. Sent again five times a second (TCP_THIN_LINEAR_TIMEOUTS), what every other packet is lost of still
/// arrives; a path that was dead for this long is better dialled anew than waited for, since TCP waits ever longer.
const UNACKNOWLEDGED_MS_MAX: u32 = 2_500;

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
    /// The first of the attempts that ends decides: it has a connection, or was refused.
    async fn connect(&self, member: &Member, _lane: Lane) -> io::Result<BoxedStream> {
        let name: ServerName = member.name.parse().map_err(invalid)?;
        let address: SocketAddr = member.address.parse().map_err(invalid)?;
        let later = |attempt: u32| Duration::from_millis(u64::from(attempt * DIAL_STAGGER_MS));
        let attempts = (0..DIALS_AT_A_TIME_MAX).map(|attempt| self.dial(&name, address, later(attempt)));
        let mut attempts: FuturesUnordered<_> = attempts.collect();
        attempts.next().await.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl PeerDialer {
    async fn dial(&self, name: &ServerName, address: SocketAddr, later: Duration) -> io::Result<BoxedStream> {
        tokio::time::sleep(later).await;
        let limit = Duration::from_millis(DIAL_MS_MAX);
        let stream = dial(name, address, self.config.clone(), limit).await.map_err(io::Error::other)?;
        let socket = stream.get_ref().0;
        rustix::net::sockopt::set_tcp_user_timeout(socket, UNACKNOWLEDGED_MS_MAX)?;
        rustix::net::sockopt::set_tcp_thin_linear_timeouts(socket, true)?;
        Ok(Box::new(stream))
    }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}
