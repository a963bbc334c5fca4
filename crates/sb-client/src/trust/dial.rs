use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::InvalidDnsNameError;
use sb_topology::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// No connection to a peer.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody answered in time.
    #[error("`{peer}` at {address} did not answer within {} ms", limit.as_millis())]
    Timeout {
        /// Who was called.
        peer: ServerName,
        /// Where.
        address: SocketAddr,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The connection was refused, or the TLS handshake failed: also when another server answers there.
    #[error("could not connect to `{peer}` at {address}")]
    Refused {
        /// Who was called.
        peer: ServerName,
        /// Where.
        address: SocketAddr,
        /// What the system or TLS said.
        #[source]
        source: io::Error,
    },
    /// The name cannot stand in a certificate.
    #[error("`{0}` cannot stand in a certificate")]
    Name(ServerName, #[source] InvalidDnsNameError),
}

/// Connects to the peer port of `peer` and checks that it is `peer` who answers. `limit` covers the TCP and the
/// TLS handshake together.
///
/// # Errors
/// When nobody answers in time, the connection is refused, or somebody else answers.
pub async fn dial(
    peer: &ServerName,
    address: SocketAddr,
    config: Arc<ClientConfig>,
    limit: Duration,
) -> Result<TlsStream<TcpStream>, DialError> {
    let expected = rustls::pki_types::ServerName::try_from(peer.as_str().to_owned())
        .map_err(|error| DialError::Name(peer.clone(), error))?;
    let connect = async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        TlsConnector::from(config).connect(expected, stream).await
    };
    match tokio::time::timeout(limit, connect).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(source)) => Err(DialError::Refused { peer: peer.clone(), address, source }),
        Err(_) => Err(DialError::Timeout { peer: peer.clone(), address, limit }),
    }
}
