use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName as TlsName;
use sb_topology::ServerName;

use crate::client::CallError;
use crate::state::Token;
use crate::trust::{Alpn, Authority, Credentials, TrustError};

/// Where an agent is, and how to prove who calls.
#[derive(Clone)]
pub enum Target {
    /// Through its Unix socket; the system tells the agent who calls.
    Unix(PathBuf),
    /// Over TLS, with a bearer token.
    Token {
        /// `HOST:PORT`, the host a name or an address.
        authority: String,
        /// What the agent's certificate must say.
        name: TlsName<'static>,
        /// Proves who calls.
        token: Token,
        /// TLS against the cluster's authority.
        tls: Arc<ClientConfig>,
    },
    /// Over mutual TLS, as a server of the cluster.
    Peer {
        /// Where the peer accepts peers.
        address: SocketAddr,
        /// Who must answer.
        peer: ServerName,
        /// TLS with this server's certificate.
        tls: Arc<ClientConfig>,
    },
}

impl Target {
    /// An agent's API port, as `https://HOST[:PORT]`, `HOST:PORT` or `HOST`; the port is
    /// [`crate::API_PORT`] when it is not said.
    ///
    /// # Errors
    /// [`CallError::Address`] when it is none of these, [`CallError::Trust`] when TLS cannot be set up.
    pub fn with_token(server: &str, token: Token, authority: &Authority) -> Result<Self, CallError> {
        let unusable = || CallError::Address { text: server.to_owned() };
        let rest = server.strip_prefix("https://").unwrap_or(server).trim_end_matches('/');
        let parsed: hyper::http::uri::Authority = rest.parse().map_err(|_| unusable())?;
        if rest.contains('@') || parsed.host().is_empty() {
            return Err(unusable());
        }
        let host = parsed.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = TlsName::try_from(host).map_err(|_| unusable())?;
        let port = parsed.port_u16().unwrap_or(crate::API_PORT);
        let tls = Arc::new(authority.client_config()?);
        Ok(Self::Token { authority: format!("{}:{port}", parsed.host()), name, token, tls })
    }

    /// A peer, called as the server that `credentials` belong to.
    ///
    /// # Errors
    /// When certificate and key do not belong together.
    pub fn peer(
        peer: ServerName,
        address: SocketAddr,
        credentials: &Credentials,
    ) -> Result<Self, TrustError> {
        let tls = Arc::new(credentials.peer_client_config(Alpn::Http)?);
        Ok(Self::Peer { address, peer, tls })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Token { authority, .. } => write!(f, "https://{authority}"),
            Self::Peer { address, peer, .. } => write!(f, "{peer} ({address})"),
        }
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Target({self})")
    }
}
