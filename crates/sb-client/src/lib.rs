//! Talking to agents, and being trusted by them.
//!
//! * [`Client`] makes `/v1` and `/peer/v1` calls over a Unix socket, over TLS with a bearer token, or over mutual
//!   TLS as a server of the cluster. Every call has a deadline and a typed error.
//! * [`trust`] turns a server's three PEM files into TLS configurations, and a certificate into a server's name.
//! * [`state`] reads the files that give a server its identity.
//! * [`bundle`] makes those files for every server of a new cluster.
//!
//! Nothing here prints, exits, or looks for files that it was not told of.

pub mod bundle;
pub mod client;
pub mod state;
pub mod trust;

pub use client::{CallError, Client, Target};

/// Port of peer calls and the store, on each server's mesh address.
pub const PEER_PORT: u16 = 7432;

/// UDP port of the probes by which the servers measure the mesh, on each server's mesh address.
pub const PROBE_PORT: u16 = 7433;

/// Port of the API and the pages, on each server's mesh address.
pub const API_PORT: u16 = 8080;

/// Where an agent's Unix socket is when nobody says otherwise.
pub const SOCKET_DEFAULT: &str = "/run/show-build/agent.sock";
