//! The server's place in the mesh: its key, its interface, and what the packet filter lets through.
//!
//! ```text
//!  documents ──► desired ──┐
//!                          ├─► plan ──► interface (kernel or userspace), addresses, routes
//!  interface ──► observed ─┘             every 5 s; what somebody changed by hand goes back and is told
//! ```

mod acceptance;
mod agreed;
mod agreement;
mod assembly;
mod callers;
mod exchange;
mod firewall;
mod forwarding;
mod health;
mod interface;
mod key_file;
mod knowledge;
mod names;
mod planner;
mod preshared;
mod proposer;
mod reconcile;
mod relays;
mod rotation;
mod sights;
mod told;
mod tunnel;
mod upkeep;
mod wanted;

pub(crate) use assembly::{Mesh, Surroundings};
pub use firewall::Firewall;
pub use interface::{Interface, InterfaceError};
pub(crate) use knowledge::Knowledge;
pub(crate) use preshared::{PresharedError, to_answer, to_word};
pub(crate) use rotation::{KeyStanding, RotateError};

pub use assembly::MeshError;
pub use key_file::{KEY_FILE, KeyFileError, load_key, load_or_make_key};
pub use tunnel::{TunnelError, tunnel};
pub use upkeep::UpkeepError;
