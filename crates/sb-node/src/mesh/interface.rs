//! One WireGuard interface, whoever encrypts.

use sb_topology::MeshMode;
use sb_wireguard::userspace::{
    ApplyError, CONTROL_DIRECTORY, Configuration, CreateError, UserspaceInterface,
};
use sb_wireguard::{Change, KernelError, KernelInterface, LinkError, ObservedInterface};

/// The interface could not be made, asked or altered.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    /// The kernel's.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// One of this process could not be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// One of this process could not be altered.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// One of this process moves nothing any more.
    #[error("the interface has ended: {0}")]
    Ended(String),
    /// Its addresses or routes could not be set.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// One WireGuard interface of this server.
pub enum Interface {
    /// The kernel encrypts. It stays when the agent ends.
    Kernel(KernelInterface),
    /// This process encrypts. It goes with the agent.
    Userspace(UserspaceInterface),
}

impl Interface {
    /// Makes the interface, or takes over the kernel's of that name.
    ///
    /// # Errors
    /// When the chosen kind cannot be had; [`MeshMode::Auto`] takes the kernel's where there is one.
    pub fn open(name: &str, mtu: u16, mode: MeshMode) -> Result<Self, InterfaceError> {
        let in_kernel = match mode {
            MeshMode::Kernel => true,
            MeshMode::Userspace => false,
            MeshMode::Auto => KernelInterface::is_available()?,
        };
        if in_kernel {
            return Ok(Self::Kernel(KernelInterface::open(name)?));
        }
        let mut configuration = Configuration {
            name: name.to_owned(),
            mtu_bytes: mtu,
            addresses: Vec::new(),
            control_directory: Some(CONTROL_DIRECTORY.into()),
        };
        match UserspaceInterface::create(&configuration) {
            // `wg` cannot see it then; the mesh does not need that.
            Err(CreateError::Control { .. }) => {
                tracing::warn!(directory = CONTROL_DIRECTORY, "the interface has no socket for `wg`");
                configuration.control_directory = None;
                Ok(Self::Userspace(UserspaceInterface::create(&configuration)?))
            }
            created => Ok(Self::Userspace(created?)),
        }
    }

    /// Carries changes out, in order, until one is refused.
    ///
    /// # Errors
    /// The refusal.
    pub fn apply(&mut self, changes: &[Change]) -> Result<(), InterfaceError> {
        match self {
            Self::Kernel(interface) => Ok(interface.apply(changes)?),
            Self::Userspace(interface) => Ok(interface.apply(changes)?),
        }
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// When it is gone.
    pub fn observe(&mut self) -> Result<ObservedInterface, InterfaceError> {
        match self {
            Self::Kernel(interface) => Ok(interface.observe()?),
            Self::Userspace(interface) => match interface.ended() {
                Some(reason) => Err(InterfaceError::Ended(reason.to_string())),
                None => Ok(interface.observe()),
            },
        }
    }

    /// Who encrypts, as a word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kernel(_) => "kernel",
            Self::Userspace(_) => "userspace",
        }
    }
}
