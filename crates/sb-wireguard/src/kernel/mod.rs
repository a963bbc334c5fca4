//! WireGuard interfaces of the kernel, over generic netlink.
//!
//! Only what is named in a change is sent, never a whole configuration: a peer that is not named keeps its session, its
//! counters and where it was heard from.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use netlink_packet_generic::GenlMessage;
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_wireguard::{WireguardAttribute, WireguardCmd, WireguardMessage};
use netlink_sys::protocols::NETLINK_GENERIC;

use crate::link::{Link, LinkError};
use crate::netlink::{Channel, NetlinkError};
use crate::{Change, ObservedInterface};

/// The kernel's family of messages about WireGuard; it is there when the module is loaded or built in.
const FAMILY: &str = "wireguard";

/// An act on a WireGuard interface of the kernel that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// This kernel has no WireGuard, or not here.
    #[error("this kernel has no WireGuard")]
    NoModule,
    /// The interface is not there, or is not a WireGuard interface.
    #[error("`{0}` is not a WireGuard interface of the kernel")]
    NoInterface(String),
    /// It could not be made or removed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The kernel did not answer as asked.
    #[error("could not configure the kernel's WireGuard")]
    Netlink(#[from] NetlinkError),
}

/// Whose an interface is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was made when it was opened.
    Made,
    /// It was there before: somebody else's, or of an earlier run.
    Found,
}

/// A WireGuard interface of the kernel, in the network namespace in which it was opened.
///
/// It stays when this value is dropped: sessions outlive the program that configures them.
pub struct KernelInterface {
    name: String,
    channel: Channel,
    family: u16,
    origin: Origin,
}

impl KernelInterface {
    /// Opens the interface `name` and makes it first when it is not there.
    ///
    /// # Errors
    /// [`KernelError::NoModule`] when the kernel has no WireGuard; the kernel's own refusal, for instance without
    /// `CAP_NET_ADMIN`.
    pub fn open(name: &str) -> Result<Self, KernelError> {
        let origin = match Link::make_wireguard(name) {
            Ok(()) => Origin::Made,
            Err(LinkError::Netlink { source, .. }) if source.is(libc::EEXIST) => Origin::Found,
            Err(LinkError::Netlink { source, .. }) if source.is(libc::EOPNOTSUPP) => {
                return Err(KernelError::NoModule);
            }
            Err(error) => return Err(error.into()),
        };
        let mut channel = Channel::open(NETLINK_GENERIC)?;
        let family = family(&mut channel)?;
        let mut interface = Self { name: name.to_owned(), channel, family, origin };
        interface.observe()?;
        Ok(interface)
    }

    /// Whether this kernel has WireGuard, found out by asking for its family of messages after making and removing an
    /// interface, which loads the module where it can be loaded.
    ///
    /// # Errors
    /// When the kernel refuses for another reason than that, such as a missing right.
    pub fn is_available() -> Result<bool, KernelError> {
        const TRIAL: &str = "sb-wg-trial";
        match Link::make_wireguard(TRIAL) {
            Ok(()) => Link::remove(TRIAL).map(|()| true).map_err(KernelError::from),
            Err(LinkError::Netlink { source, .. }) if source.is(libc::EEXIST) => Ok(true),
            Err(LinkError::Netlink { source, .. }) if source.is(libc::EOPNOTSUPP) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it was there before.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Carries the changes out, in their order, each by itself. The first refusal ends it; what was done stays done.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn apply(&mut self, changes: &[Change]) -> Result<(), KernelError> {
        for change in changes {
            let observed = self.observe()?;
            let message = encode::encode(&self.name, change, &observed);
            self.channel.alter(self.addressed(message), 0)?;
        }
        Ok(())
    }

    /// What the interface says of itself.
    ///
    /// # Errors
    /// [`KernelError::NoInterface`] when it is gone or of another kind.
    pub fn observe(&mut self) -> Result<ObservedInterface, KernelError> {
        let question = WireguardMessage {
            cmd: WireguardCmd::GetDevice,
            attributes: vec![WireguardAttribute::IfName(self.name.clone())],
        };
        let answers = self.channel.dump(self.addressed(question)).map_err(|error| {
            match error.is(libc::ENODEV) || error.is(libc::EOPNOTSUPP) {
                true => KernelError::NoInterface(self.name.clone()),
                false => error.into(),
            }
        })?;
        Ok(decode::decode(answers.into_iter().map(|answer| answer.payload).collect()))
    }

    fn addressed(&self, message: WireguardMessage) -> GenlMessage<WireguardMessage> {
        let mut message = GenlMessage::from_payload(message);
        message.set_resolved_family_id(self.family);
        message
    }
}

/// The number that the kernel gave to the family of messages when the module was loaded.
fn family(channel: &mut Channel) -> Result<u16, KernelError> {
    let question = GenlMessage::from_payload(GenlCtrl {
        cmd: GenlCtrlCmd::GetFamily,
        nlas: vec![GenlCtrlAttrs::FamilyName(FAMILY.to_owned())],
    });
    let answers = channel.ask(question).map_err(|error| match error.is(libc::ENOENT) {
        true => KernelError::NoModule,
        false => error.into(),
    })?;
    let found =
        answers.iter().flat_map(|answer| &answer.payload.nlas).find_map(|attribute| match attribute {
            GenlCtrlAttrs::FamilyId(id) => Some(*id),
            _ => None,
        });
    found.ok_or(KernelError::NoModule)
}
