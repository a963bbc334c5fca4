//! The wide-area network between the virtual sites.
//!
//! [`Router`] decides, without a socket or a clock: which packet goes where, when, and which is dropped.
//! [`Carrier`] is the thread that moves the bytes between it and the TUN devices of the namespaces.

mod carrier;
mod link;
mod packet;
mod router;

pub use carrier::{Carrier, MTU_BYTES, Wan};
pub use link::{LinkQuality, QUEUE_BYTES_MAX};
pub use packet::{IPV4_HEADER_BYTES, destination};
pub use router::{Delivery, Dropped, PortId, Router};
