//! The proxy over real sockets on loopback.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bounds;
mod carrying;
mod cutting;
mod headers;
mod holding;
mod listening;
mod reading;
mod setup;
