use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where the cluster's record is kept. It is chosen when the cluster begins, and stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StorePolicy {
    /// In the agents themselves, by Raft.
    #[default]
    Raft,
    /// In an etcd that exists already.
    Etcd(EtcdPolicy),
}

/// The word for a kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// In the agents themselves, by Raft.
    #[default]
    Raft,
    /// In an etcd that exists already.
    Etcd,
}

impl StoreKind {
    /// The word of the document.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Raft => "raft",
            Self::Etcd => "etcd",
        }
    }
}

impl StorePolicy {
    /// Which kind it is.
    #[must_use]
    pub const fn kind(&self) -> StoreKind {
        match self {
            Self::Raft => StoreKind::Raft,
            Self::Etcd(_) => StoreKind::Etcd,
        }
    }
}

/// How an etcd is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdPolicy {
    /// Its members, in the order in which they are tried.
    pub endpoints: Vec<EtcdUrl>,
    /// Authorities that its certificates are checked against, PEM; needed for `https`.
    pub ca_file: Option<PathBuf>,
    /// The certificate shown to it and the certificate's key, PEM.
    pub client: Option<(PathBuf, PathBuf)>,
    /// Its user, and the file whose first line is the user's password.
    pub login: Option<(String, PathBuf)>,
}

impl EtcdPolicy {
    /// Most endpoints.
    pub const ENDPOINTS_MAX: usize = 9;
}

/// `http://HOST:PORT` or `https://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EtcdUrl(String);

/// The text is not the address of a member of etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not `http://HOST:PORT` or `https://HOST:PORT`")]
pub struct EtcdUrlError;

impl EtcdUrl {
    /// Whether it is reached by TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl FromStr for EtcdUrl {
    type Err = EtcdUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest =
            text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).ok_or(EtcdUrlError)?;
        let (host, port) = rest.rsplit_once(':').ok_or(EtcdUrlError)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let named = !host.is_empty() && !host.contains(['/', '@', '[', ']', '?', '#', ' ']);
        let port = port.parse::<u16>().is_ok_and(|port| port > 0);
        if named && port { Ok(Self(text.to_owned())) } else { Err(EtcdUrlError) }
    }
}

impl fmt::Display for EtcdUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
