//! What stands in for the world outside of the two real cores.

pub mod clock;
pub mod disk;
pub mod guard;
pub mod ledger;
pub mod network;
pub mod postgres;
