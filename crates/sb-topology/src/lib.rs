//! Sites, servers, networks and policy: the documents an operator writes, checked as a whole. Pure.

mod names;

pub use names::{NAME_BYTES_MAX, NameError, ServerName, SiteName};
