//! One server's view of a private WireGuard mesh: what it should be, what it is, and the smallest changes between.
//!
//! Everything that speaks of an interface speaks in two types. A [`Change`] is one smallest alteration, with the
//! meaning it has in WireGuard's configuration protocol: the text of a `wg` command is read into a list of them, a
//! plan is a list of them, the kernel's netlink messages and the userspace engine carry them out. An
//! [`ObservedInterface`] is everything an interface says of itself.
//!
//! Keys are made on the server they belong to. A [`PrivateKey`] is never shown, not even in debug output, and is
//! wiped from memory when it is dropped.

pub mod engine;
pub mod lint;
pub mod preshared;
pub mod relay;
pub mod rotation;
pub mod uapi;
pub mod userspace;
pub mod wg_quick;

mod change;
mod desired;
mod diff;
mod kernel;
mod key;
mod link;
mod netlink;
mod observed;
mod plan;
mod search;
mod target;

pub use change::{AddressesChange, Change, PeerChange, PeerScope};
pub use desired::{DesiredError, DesiredInterface, DesiredPeer, Keyring, PeerKind};
pub use diff::{Difference, diff};
pub use kernel::{KernelError, KernelInterface, Origin};
pub use key::{KeyError, PresharedKey, PresharedMark, PrivateKey, PublicKey};
pub use link::{Link, LinkError, LinkState};
pub use netlink::NetlinkError;
pub use observed::{ObservedInterface, ObservedPeer};
pub use plan::{Plan, plan};
/// A range of addresses that a peer may send from and is sent to, as in WireGuard's `AllowedIPs`.
pub use sb_topology::Subnet as AllowedIp;
pub use search::{Search, TURN_SECONDS};
pub use target::{FRESH_SECONDS_MAX, Target, TargetError, TargetPeer, is_fresh};
