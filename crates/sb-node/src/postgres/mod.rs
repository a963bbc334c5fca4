//! PostgreSQL as the failover machine wants it: commands carried out through `sb-pgrepl` and the guard, and what
//! PostgreSQL is doing, told back.

pub mod collations;
mod desired;
mod driver;
pub mod home;
mod housekeeping;
mod observe;
mod operations;
mod postmaster;
mod vain_starts;

pub(crate) use driver::chain;
pub use driver::{Driver, DriverConfig};
pub use housekeeping::Housekeeping;
pub use observe::{Seen, Watcher};
