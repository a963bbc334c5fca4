use std::error::Error;
use std::io;

use crate::nft::NftError;

/// The kernel's fence could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// The rules could not be loaded.
    #[error(transparent)]
    Rules(#[from] NftError),
    /// There are no rules to renew a lease in.
    #[error("the packet fence is not installed")]
    NotInstalled,
    /// The kernel's word over netlink.
    #[error("could not {action}")]
    Netlink {
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl FenceError {
    /// With everything below it, in one line.
    pub(super) fn chain(&self) -> String {
        self.source().map_or_else(|| self.to_string(), |source| format!("{self}: {source}"))
    }
}
