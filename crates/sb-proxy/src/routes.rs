use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The number of a primaryship. It only rises; 0 is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Term(u64);

impl Term {
    /// The term of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A server and where its clients reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name, for people.
    pub name: Arc<str>,
    /// Where it takes clients.
    pub address: SocketAddr,
}

impl Target {
    /// The server `name` at `address`.
    #[must_use]
    pub fn new(name: &str, address: SocketAddr) -> Self {
        Self { name: name.into(), address }
    }
}

/// Who takes writes in a term.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Leading {
    /// Nobody, as far as is known.
    #[default]
    Nobody,
    /// This server is about to hand over: who is connected may finish, nobody else comes in.
    Closing(Target),
    /// This server, and it lets clients in.
    Open(Target),
}

impl Leading {
    /// The server, whether or not it lets more clients in.
    #[must_use]
    pub fn target(&self) -> Option<&Target> {
        match self {
            Leading::Nobody => None,
            Leading::Closing(target) | Leading::Open(target) => Some(target),
        }
    }
}

/// A standby that answers and streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standby {
    /// The server.
    pub target: Target,
    /// How far it is behind the primary, in bytes of log.
    pub lag_bytes: u64,
    /// A round trip to it. Whoever measures should round it: of servers that are as far, the name decides.
    pub distance: Duration,
}

/// Where connections may go.
///
/// # To ensure correctness
///
/// * `primary` is `Open` only on that server's own word that it holds the newest lease and lets clients in.
/// * `term` is at least the newest that is known from anywhere, also when nobody leads in it yet. Routes of an older
///   term than earlier ones are ignored.
/// * `standbys` has only servers that have been heard lately.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routes {
    /// The newest term.
    pub term: Term,
    /// Who takes writes in it.
    pub primary: Leading,
    /// Who answers reads.
    pub standbys: Vec<Standby>,
}
