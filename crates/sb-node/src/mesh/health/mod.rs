//! How the mesh is: round trips, losses, how large packets may be, and whether each direct session lives.
//!
//! ```text
//!  prober (socket, clocks) ──► line of each server ──► findings ──► what is told, routes of narrow paths
//!   questions and answers       window, path_size      sights  ──► the plan of relays
//!                               direct ◄── sessions ◄── each look at the interface
//! ```
//!
//! Everything but the prober is pure: it is handed datagrams' tokens and the time. All state is bounded: a minute of
//! small probes and one sized probe a server.

mod circle;
mod datagram;
mod direct;
mod finding;
mod line;
mod news;
mod path_size;
mod prober;
mod sessions;
mod window;

#[cfg(test)]
mod tests;

pub(super) use circle::Circle;
pub(super) use finding::{Finding, Findings};
pub(super) use news::News;
pub(super) use prober::Prober;
pub(super) use sessions::{Seen, Sessions};
