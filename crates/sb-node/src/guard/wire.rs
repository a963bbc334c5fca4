//! One message is one datagram of a `SOCK_SEQPACKET` socket, in postcard's encoding.
//!
//! Both ends are the same binary on the same host, so there is no version to negotiate.

use serde::{Deserialize, Serialize};

use super::messages::{GuardEvent, GuardReply, GuardRequest};

/// The largest message either end accepts. A start's arguments and environment are the largest part of one.
pub(super) const MESSAGE_BYTES_MAX: usize = 32 * 1024;

/// From a client.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ToGuard {
    /// Chosen by the client; the reply carries it.
    pub id: u64,
    pub request: GuardRequest,
}

/// From the guard.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromGuard {
    Reply { id: u64, reply: GuardReply },
    Event(GuardEvent),
}

/// Encodes into `buffer` without allocating; `None` when the message does not fit.
pub(super) fn encode<'a, T: Serialize>(message: &T, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    postcard::to_slice(message, buffer).ok().map(|bytes| &*bytes)
}

/// Decodes a whole datagram; `None` when it is anything else.
pub(super) fn decode<'a, T: Deserialize<'a>>(datagram: &'a [u8]) -> Option<T> {
    match postcard::take_from_bytes(datagram) {
        Ok((message, [])) => Some(message),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_the_wire() {
        let mut buffer = [0; 64];
        let sent = ToGuard { id: 7, request: GuardRequest::KillAll };
        let bytes = encode(&sent, &mut buffer).unwrap();
        let received: ToGuard = decode(bytes).unwrap();
        assert_eq!((received.id, received.request), (7, GuardRequest::KillAll));
    }

    #[test]
    fn trailing_bytes_make_a_datagram_invalid() {
        let mut buffer = [0; 64];
        let length = encode(&ToGuard { id: 7, request: GuardRequest::Status }, &mut buffer).unwrap().len();
        assert!(decode::<ToGuard>(&buffer[..length]).is_some());
        assert!(decode::<ToGuard>(&buffer[..=length]).is_none());
    }
}
