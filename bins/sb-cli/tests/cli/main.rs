//! The program as scripts see it: stdout, stderr and exit status, against an agent on a Unix socket.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agent;
mod connecting;
mod making;
mod meshing;
mod moving;
mod over_ssh;
mod pictures;
mod reaching;
mod recovering;
mod sshd;
mod watching;
