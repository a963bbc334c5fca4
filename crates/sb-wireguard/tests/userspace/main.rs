//! Userspace interfaces in network namespaces: real devices, real sockets, and the distribution's own programs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod control;
mod example;
mod host;
mod paths;
mod six;
