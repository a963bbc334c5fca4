//! How the lab gets namespaces of its own, and why nothing survives it.
//!
//! The program starts itself again, with the same arguments, two processes down:
//!
//! ```text
//! launcher ── waits, holds the leash (a pipe)                     the caller's namespaces
//!   └─ init ── PID 1: waits, reaps                                new: pid, mount, net, ipc (user, when not root)
//!        └─ lab ── the same program, [`Inside`] ── servers ...    the same
//! ```
//!
//! When the lab ends, init ends; when init ends, the kernel kills every process of the PID namespace, and with the
//! last of them go the mounts, the files in memory, the network namespaces and their devices. When the launcher
//! ends, the kernel kills init. So it does not matter who is killed, nor how.

mod birth;
mod disk;
mod inside;
mod launch;

use std::io;
use std::path::PathBuf;

pub use disk::DiskDirectory;
pub use inside::{Inside, Interrupt};
pub use launch::{Detached, launch_attended, launch_detached};

/// Tells the started program that it is inside: the file descriptors that it was given.
const STAGE_VARIABLE: &str = "SB_LAB_STAGE";

/// The lab could not get what it stands on.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The system does not let this user make namespaces.
    #[error("cannot make namespaces")]
    Namespaces(#[source] io::Error),
    /// Namespaces exist, but this user may not use them as far as the lab needs.
    #[error("could not {step} inside the lab's own namespaces")]
    Setup {
        /// What was tried.
        step: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Every directory that could be hidden behind the lab's files is in use.
    #[error("found no place to mount the lab's files")]
    NoMountPoint {
        /// What was looked at.
        tried: Vec<PathBuf>,
    },
    /// The directory for the lab's files cannot be used.
    #[error("could not make a directory for the lab's files in `{parent}`")]
    Disk {
        /// Where.
        parent: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The program could not be started again.
    #[error("could not start the lab")]
    Start(#[source] io::Error),
}

impl StageError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Namespaces(_) | Self::Setup { .. } => {
                "Run it as root, or allow user namespaces and the TUN device:\n\
                 sysctl -w kernel.apparmor_restrict_unprivileged_userns=0; chmod 0666 /dev/net/tun; \
                 inside a container it also needs the capability SYS_ADMIN and the device /dev/net/tun"
            }
            Self::Disk { .. } => "Name another directory with --storage, or use --storage memory.",
            Self::NoMountPoint { .. } => "Create /srv, or run it from another directory.",
            Self::Start(_) => "Check that the program's own file can still be read and executed.",
        }
    }
}

/// The lab must be started outside and run inside; this says which of them it is now.
#[derive(Debug)]
pub enum Stage {
    /// In the namespaces of the caller.
    Outside,
    /// In the lab's own.
    Inside(Inside),
}

impl Stage {
    /// Finds out.
    #[must_use]
    pub fn now() -> Self {
        inside::given_descriptors().map_or(Self::Outside, |given| Self::Inside(Inside::new(given)))
    }
}
