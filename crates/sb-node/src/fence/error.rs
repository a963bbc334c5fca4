use std::error::Error;
use std::io;

/// The kernel's fence could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// The program is missing or could not be run.
    #[error("could not run `nft`")]
    Program(#[source] io::Error),
    /// `nft` ran and refused the rules.
    #[error("`nft` did not accept the rules: {said}")]
    Rules {
        /// Its words.
        said: String,
    },
    /// `nft` did not end in time.
    #[error("`nft` did not end within {limit_s} s")]
    Timeout {
        /// How long it was given, in seconds.
        limit_s: u64,
    },
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
