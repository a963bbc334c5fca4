use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::seats::Seats;
use crate::{Access, Reason};

/// What one listener has done and is doing. Counters begin at 0 with the proxy and only rise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerNumbers {
    /// What it is for.
    pub access: Access,
    /// Where it listens, or would: `ADDRESS:PORT` or the path of a socket.
    pub place: String,
    /// Whether it does.
    pub listening: Listening,
    /// Connections at present, those that are held among them.
    pub open: u64,
    /// Connections that wait for a server at present.
    pub held: u64,
    /// Connections that were let in.
    pub accepted: u64,
    /// Connections that were closed at once since a maximum was reached.
    pub refused: u64,
    /// Connections that no server took in the time that they may be held.
    pub held_too_long: u64,
    /// Sessions that were cut since their server was not the right one any more.
    pub cut: u64,
    /// Connections whose PROXY header was missing, wrong or late.
    pub bad_headers: u64,
    /// Connects to servers that failed.
    pub failed_dials: u64,
    /// Errors of accepting, such as no file descriptor left.
    pub accept_errors: u64,
    /// Bytes passed on to servers.
    pub bytes_to_servers: u64,
    /// Bytes passed on to clients.
    pub bytes_to_clients: u64,
}

/// Whether a listener listens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Listening {
    /// It has not tried yet, or has ended.
    #[default]
    No,
    /// It does.
    Yes,
    /// It could not, for this reason; it will try again.
    Failed(String),
}

/// Where a listener and its connections count.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) open: Seats,
    pub(crate) held: Seats,
    pub(crate) accepted: Counter,
    pub(crate) refused: Counter,
    pub(crate) bad_headers: Counter,
    pub(crate) failed_dials: Counter,
    pub(crate) accept_errors: Counter,
    pub(crate) bytes_to_servers: Counter,
    pub(crate) bytes_to_clients: Counter,
    held_too_long: Counter,
    cut: Counter,
    place: Mutex<(String, Listening)>,
}

/// A number that only rises.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Meter {
    pub(crate) fn ended(&self, reason: Reason) {
        match reason {
            Reason::HeldTooLong => self.held_too_long.add(1),
            Reason::NewTerm | Reason::PrimaryLost | Reason::StandbyLeft => self.cut.add(1),
        }
    }

    /// Notes where a listener is, and whether it listens there.
    pub(crate) fn listening(&self, place: String, listening: Listening) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = (place, listening);
    }

    pub(crate) fn numbers(&self, access: Access) -> ListenerNumbers {
        let (place, listening) = self.place.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ListenerNumbers {
            access,
            place,
            listening,
            open: self.open.taken() as u64,
            held: self.held.taken() as u64,
            accepted: self.accepted.get(),
            refused: self.refused.get(),
            held_too_long: self.held_too_long.get(),
            cut: self.cut.get(),
            bad_headers: self.bad_headers.get(),
            failed_dials: self.failed_dials.get(),
            accept_errors: self.accept_errors.get(),
            bytes_to_servers: self.bytes_to_servers.get(),
            bytes_to_clients: self.bytes_to_clients.get(),
        }
    }
}
