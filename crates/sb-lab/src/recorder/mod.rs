//! Clients that write, and the book that is kept of it.
//!
//! [`Ledger`] is pure: what was sent, what was acknowledged and when. [`check`] compares it with what a survivor
//! has. [`Recorder`] is the clients: sessions over the virtual network, TLS and passwords and all.

mod access;
mod check;
mod finder;
mod ledger;
mod session;
mod writer;

pub use access::{Access, AccessError, Way};
pub use check::{Findings, check};
pub use finder::Standing;
pub(crate) use finder::{Need, newest_primary, watch_server};
pub use ledger::{Ledger, Silence, WRITES_MAX, WriteId};
pub use session::{Recorder, RecorderPlan};
