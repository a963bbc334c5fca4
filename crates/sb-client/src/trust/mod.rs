//! Mutual TLS with the cluster's own authority.
//!
//! A certificate says which server it belongs to: its only DNS name is the server's name. Both directions are
//! checked against the cluster's authority and nothing else; the system's roots play no part. TLS 1.3 only,
//! because both ends are always ours.

mod alpn;
mod credentials;
mod dial;
mod error;
mod name;

pub use alpn::Alpn;
pub use credentials::{Authority, Credentials};
pub use dial::{DialError, dial};
pub use error::TrustError;
pub use name::{NameError, server_name};
