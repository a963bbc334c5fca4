//! The text of WireGuard's configuration protocol, as `wg` speaks it to an interface's socket.
//!
//! The rules are those of <https://www.wireguard.com/xplatform/#configuration-protocol>. A message is lines of
//! `key=value` that end with an empty line. [`Request`] reads what a client asks, and [`write_state`] and
//! [`write_status`] answer it; [`write_requests`], [`read_state`] and [`read_status`] are the client's side of the same,
//! for interfaces that somebody else's program runs.
//!
//! A request is read whole before anything of it is done, so one with an error alters nothing. Nothing here opens a
//! socket, and no error repeats a value: it may be a key.

mod answer;
mod errno;
mod line;
mod request;
mod state;

pub use answer::{AnswerError, read_state, read_status};
pub use errno::Errno;
pub use request::{Request, RequestError, write_requests};
pub use state::{write_state, write_status};

/// Longest request that is read, in bytes.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Most peers that one request may name, counted each time they are named.
pub const REQUEST_PEERS_MAX: usize = 1024;
/// Most ranges of addresses that one request may name.
pub const REQUEST_ADDRESSES_MAX: usize = 8192;
/// Longest answer that is read, in bytes.
pub const ANSWER_BYTES_MAX: usize = 16 << 20;

/// The length of the first message in `bytes` with the empty line that ends it; [`None`] while that has not come.
#[must_use]
pub fn message_length(bytes: &[u8]) -> Option<usize> {
    match bytes {
        // An empty message: nothing but its end.
        [b'\n', ..] => Some(1),
        _ => bytes.windows(2).position(|pair| pair == b"\n\n").map(|at| at + 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_with_its_first_empty_line() {
        assert_eq!(message_length(b"get=1\n\nget=1\n\n"), Some(7));
        assert_eq!(message_length(b"\nget=1\n\n"), Some(1));
        assert_eq!(message_length(b"set=1\nlisten_port=1\n"), None);
        assert_eq!(message_length(b""), None);
    }
}
