use std::io;
use std::path::PathBuf;

use crate::engine::TooManyPeers;
use crate::uapi::Errno;

/// An interface could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The TUN device: its name is taken, or `/dev/net/tun` or the capability NET_ADMIN is missing.
    #[error("could not make the TUN device `{name}`")]
    Device {
        /// The interface.
        name: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The UDP sockets.
    #[error("could not open a UDP socket")]
    Socket(#[source] io::Error),
    /// The socket that `wg` speaks to.
    #[error("could not listen at `{}`", path.display())]
    Control {
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A thread, or the way to wake it.
    #[error("could not start a thread")]
    Thread(#[source] io::Error),
}

/// A change could not be carried out; those before it were.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Another program has the port, or the system refuses it.
    #[error("could not listen on UDP port {port}")]
    Port {
        /// The port that was asked for.
        port: u16,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The mark needs the capability NET_ADMIN.
    #[error("could not set the firewall mark")]
    Mark(#[source] io::Error),
    /// The system does not tell the time.
    #[error("could not read the clock")]
    Clock(#[source] io::Error),
    /// There would be too many peers.
    #[error(transparent)]
    Peers(#[from] TooManyPeers),
}

impl From<&ApplyError> for Errno {
    fn from(error: &ApplyError) -> Self {
        match error {
            ApplyError::Port { source, .. } | ApplyError::Mark(source) | ApplyError::Clock(source) => {
                source.into()
            }
            ApplyError::Peers(_) => Self::TOO_BIG,
        }
    }
}
