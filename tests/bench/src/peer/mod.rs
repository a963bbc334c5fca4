//! Other products on the same sites: same network, same clients, same faults.

mod http;
mod patroni;

pub use patroni::{Patroni, newest_postgresql};

/// A product to measure beside ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Peer {
    /// Patroni over etcd, both as Debian packages them
    Patroni,
}

impl Peer {
    /// Its name in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Patroni => "patroni",
        }
    }
}
