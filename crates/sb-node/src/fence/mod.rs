//! The second fence, in the kernel: PostgreSQL's packets to its clients pass only while the lease lasts.
//!
//! The guard kills; should it be unable to, the kernel's packet filter still stops every packet from PostgreSQL's port
//! that leaves the machine, because they pass only while a set holds that port, and the set's element carries
//! the rest of the lease as its timeout. Nobody has to act for it to expire. A packet that may not pass resets its
//! connection on this side, so that it is not sent later, when the fence opens for a standby. Packets over the
//! loopback interface always pass.
//!
//! Measured for two renewals a second: a run of `nft` each costs 0.4 s of processor time a minute, a long-lived
//! `nft -i` 0.03 s but does not say whether it succeeded; a netlink message of our own costs 0.003 s and is
//! answered. So rules are installed by `nft`, whose text can be read, and elements are renewed by netlink.
//!
//! Limits: element timeouts do not run while the machine is suspended (the guard's deadline does and is served at
//! wake-up), and containers whose network is forwarded, not local, are not covered.

mod error;
mod netlink;
mod ruleset;

pub use error::FenceError;

use std::time::Duration;

use netlink::Netlink;
use ruleset::Verdict;

use crate::nft::{self, NftError};

/// Whether this machine can have the fence. Status pages show the reason; it is never passed over in silence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// Rules like the fence's were accepted by the kernel, and removed again.
    Available,
    /// They were not.
    Unavailable {
        /// `nft` is missing, not permitted, or the kernel lacks a part.
        reason: String,
    },
}

/// PostgreSQL's port in the packet filter of the network namespace that this was made in.
///
/// Dropping it changes nothing in the kernel: an agent that restarts must not open the fence.
#[derive(Debug)]
pub struct KernelFence {
    port: u16,
    netlink: Netlink,
}

impl KernelFence {
    /// Tries rules like the fence's in a table of another name.
    pub async fn probe() -> Availability {
        match either(ruleset::probe).await {
            Ok(()) => Availability::Available,
            Err(error) => Availability::Unavailable { reason: error.chain() },
        }
    }

    /// A fence for PostgreSQL's `port`. Changes nothing yet.
    ///
    /// # Errors
    ///
    /// [`FenceError::Netlink`] when the kernel has no packet filter to talk to.
    pub fn new(port: u16) -> Result<Self, FenceError> {
        Ok(Self { port, netlink: Netlink::open()? })
    }

    /// Installs the rules with the fence closed, in one transaction. To be done before PostgreSQL is writable, and
    /// followed by [`KernelFence::renew`]. Installing again, after the agent's restart, keeps a lease that is there.
    ///
    /// # Errors
    ///
    /// [`FenceError`] from `nft`. Nothing has changed then.
    pub async fn install_for_primary(&mut self) -> Result<(), FenceError> {
        either(|verdict| ruleset::for_primary(self.port, verdict)).await
    }

    /// Lets packets pass for `remaining` from now, whatever was granted before; less than a millisecond closes.
    ///
    /// Ends within microseconds: it may be called on an async thread.
    ///
    /// # Errors
    ///
    /// [`FenceError::NotInstalled`] without rules; [`FenceError::Netlink`] when the kernel refuses. What was granted
    /// before is unchanged then.
    pub fn renew(&mut self, remaining: Duration) -> Result<(), FenceError> {
        match u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX) {
            0 => self.close(),
            timeout_ms => self.netlink.grant(self.port, timeout_ms),
        }
    }

    /// Stops packets now.
    ///
    /// # Errors
    ///
    /// Like [`KernelFence::renew`].
    pub fn close(&mut self) -> Result<(), FenceError> {
        self.netlink.revoke(self.port)
    }

    /// Lets every packet pass without a lease: PostgreSQL runs as a standby, and cannot write.
    ///
    /// # Errors
    ///
    /// [`FenceError`] from `nft`.
    pub async fn open_for_standby(&mut self) -> Result<(), FenceError> {
        Ok(nft::load(&ruleset::for_standby()).await?)
    }

    /// Removes every trace. Not having been installed is no error.
    ///
    /// # Errors
    ///
    /// [`FenceError`] from `nft`.
    pub async fn uninstall(&mut self) -> Result<(), FenceError> {
        Ok(nft::load(&ruleset::none()).await?)
    }
}

/// Loads rules that reset what may not pass, or, where the kernel cannot, rules that drop it.
async fn either(rules: impl Fn(Verdict) -> String) -> Result<(), FenceError> {
    match nft::load(&rules(Verdict::Reset)).await {
        Err(NftError::Rules { .. }) => Ok(nft::load(&rules(Verdict::Drop)).await?),
        loaded => Ok(loaded?),
    }
}
