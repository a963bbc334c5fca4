//! Why an agent cannot run, and what to do about it.

use std::path::PathBuf;

use sb_client::state::StateFileError;
use sb_client::trust::TrustError;
use sb_consensus::OpenError;
use sb_pgrepl::{ProgramsError, RunAsError};
use sb_topology::{Problems, ServerName};
use sb_wireguard::DesiredError;

use crate::http::ListenError;
use crate::journal::JournalError;
use crate::mesh::{KeyFileError, MeshError};
use crate::persisted::RememberError;
use crate::topology_copy::CopyError;

/// How a server with a damaged past comes back: as somebody new, never by guessing what it promised.
const REJOIN: &str = "Set the whole state directory aside, put this server's bundle back with `bootstrap` set to false in \
     identity.json, and start again: it joins as a new incarnation and copies the database.";

/// The agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The server's own files are missing or damaged.
    #[error(transparent)]
    State(#[from] StateFileError),
    /// Its certificate, key and authority cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The documents have problems, and there is no good copy of the topology.
    #[error("the configuration cannot be used:\n{0}")]
    Configuration(Problems),
    /// The copy of the topology cannot be used.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The topology has no such server.
    #[error("`{server}` is not in the topology")]
    UnknownServer {
        /// Who this server is, by its identity.
        server: ServerName,
    },
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A promise or a phase cannot be read.
    #[error(transparent)]
    Remember(#[from] RememberError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// An endpoint of etcd is none.
    #[error(transparent)]
    EtcdEndpoint(#[from] sb_consensus::EtcdEndpointError),
    /// The policy names another kind of store than this server belongs to.
    #[error(
        "cannot change the store from `{found}` to `{chosen}`: the lease and every promise are in the old one"
    )]
    OtherStore {
        /// The kind that this server belongs to.
        found: &'static str,
        /// The kind that the policy names.
        chosen: &'static str,
    },
    /// There are no usable PostgreSQL programs.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    /// There is no user to run PostgreSQL as.
    #[error(transparent)]
    RunAs(#[from] RunAsError),
    /// A port or socket is in use.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The mesh cannot be brought up.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// A directory cannot be made.
    #[error("could not make the directory `{}`", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The failover machine's times contradict each other.
    #[error(transparent)]
    Timings(#[from] sb_failover::TimingsError),
    /// A thread cannot be made.
    #[error("could not make a thread")]
    Thread(#[source] std::io::Error),
    /// A part of the agent ended although it was not told to. The process must end too: half an agent looks alive.
    #[error("a part of the agent has ended: {part}")]
    PartEnded {
        /// Which, and why when that is known.
        part: String,
    },
}

impl AgentError {
    /// Numbers and places, for the line after the message.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        if let Self::Programs(error) = self { error.detail() } else { None }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Programs(error) => return Some(error.hint()),
            Self::State(_) | Self::Trust(_) => {
                "Put this server's bundle in place: sb-cli init makes one for every server."
            }
            Self::Listen(_) => "Find who holds it: ss -lntp; is another agent running?",
            Self::UnknownServer { .. } => {
                "The name in identity.json must be one of the servers in sites.json."
            }
            Self::OtherStore { .. } => {
                "Set `store` in policy.json back to what it was; the store is chosen when a cluster begins."
            }
            Self::Store(OpenError::Corrupt { .. }) => REJOIN,
            Self::Remember(RememberError::Damaged { .. }) => REJOIN,
            Self::Copy(CopyError::Damaged { .. }) => {
                "Copy topology.json from another server of this cluster; it is the same on all."
            }
            Self::Mesh(MeshError::Key(KeyFileError::Missing { .. })) => {
                "Make it with `sb-agent mesh-key` and put what it prints into this server's `publicKey` in sites.json."
            }
            Self::Mesh(MeshError::Desired(DesiredError::KeyMismatch { server, own, .. })) => {
                return Some(format!(
                    "Put {own} into this server's `publicKey` in its sites.json. In a cluster that runs, say so on another server: \
                     sb-cli net accept-key {server} {own}"
                ));
            }
            Self::Mesh(MeshError::Upkeep(_)) => {
                "The agent needs the capability NET_ADMIN and, without the kernel's WireGuard, /dev/net/tun."
            }
            Self::PartEnded { .. } => "The agent is started again by its unit; its log has the reason.",
            Self::Configuration(_)
            | Self::Copy(CopyError::Unreadable { .. })
            | Self::Journal(_)
            | Self::Remember(RememberError::Io { .. })
            | Self::Store(_)
            | Self::EtcdEndpoint(_)
            | Self::RunAs(_)
            | Self::Mesh(_)
            | Self::Directory { .. }
            | Self::Thread(_)
            | Self::Timings(_) => return None,
        };
        Some(hint.to_owned())
    }
}
