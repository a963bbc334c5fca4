//! The program as scripts see it: stdout, stderr and exit status, against an agent on a Unix socket.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agent;
mod making;
mod moving;
mod pictures;
mod reaching;
mod recovering;
mod watching;
