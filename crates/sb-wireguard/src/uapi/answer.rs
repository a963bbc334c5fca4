use std::time::Duration;

use super::line::{Line, decimal, endpoint, is_no_key, lines, range};
use super::{ANSWER_BYTES_MAX, Errno, REQUEST_ADDRESSES_MAX, REQUEST_PEERS_MAX};
use crate::{ObservedInterface, ObservedPeer, PresharedKey, PrivateKey, PublicKey};

/// An interface did not do what it was asked, or said so in a way that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It says why not.
    #[error("the interface refused: {0}")]
    Refused(Errno),
    /// More than is read.
    #[error("an answer has at most {limit} {what}")]
    TooBig {
        /// How many.
        limit: usize,
        /// Of what.
        what: &'static str,
    },
    /// A line is not `key=value`, or its value is not one of its key.
    #[error("line {line} of the answer cannot be read")]
    Line {
        /// Number of the line, from 1.
        line: usize,
    },
    /// It ends without an `errno`.
    #[error("the answer is not whole")]
    Cut,
}

/// Reads the answer to a request that changes something.
///
/// # Errors
/// When it was refused, or the answer cannot be read.
pub fn read_status(text: &str) -> Result<(), AnswerError> {
    read_lines(text).map(|_| ())
}

/// Reads the answer to [`super::Request::Get`]. Keys that are not known are passed over: other programs say more of themselves.
///
/// # Errors
/// When it was refused, or the answer cannot be read.
pub fn read_state(text: &str) -> Result<ObservedInterface, AnswerError> {
    let mut interface = ObservedInterface::default();
    let mut ranges = 0;
    for line in read_lines(text)? {
        let malformed = AnswerError::Line { line: line.number };
        if line.key == "public_key" {
            if interface.peers.len() == REQUEST_PEERS_MAX {
                return Err(AnswerError::TooBig { limit: REQUEST_PEERS_MAX, what: "peers" });
            }
            interface.peers.push(ObservedPeer::new(PublicKey::from_hex(line.value).map_err(|_| malformed)?));
            continue;
        }
        ranges += usize::from(line.key == "allowed_ip");
        if ranges > REQUEST_ADDRESSES_MAX {
            return Err(AnswerError::TooBig { limit: REQUEST_ADDRESSES_MAX, what: "ranges of addresses" });
        }
        let read = match interface.peers.last_mut() {
            None => read_interface_line(line, &mut interface),
            Some(peer) => read_peer_line(line, peer),
        };
        read.ok_or(malformed)?;
    }
    for peer in &mut interface.peers {
        peer.addresses.sort_unstable();
        peer.last_handshake = peer.last_handshake.filter(|at| !at.is_zero());
    }
    interface.peers.sort_by_key(|peer| peer.public_key);
    Ok(interface)
}

/// The lines before `errno=0`.
fn read_lines(text: &str) -> Result<Vec<Line<'_>>, AnswerError> {
    if text.len() > ANSWER_BYTES_MAX {
        return Err(AnswerError::TooBig { limit: ANSWER_BYTES_MAX, what: "bytes" });
    }
    let mut lines = lines(text).map_err(|line| AnswerError::Line { line })?;
    let last = lines.pop().filter(|line| line.key == "errno").ok_or(AnswerError::Cut)?;
    let number = last.value.parse().map_err(|_| AnswerError::Line { line: last.number })?;
    let errno = Errno::from_number(number);
    if errno.is_none() { Ok(lines) } else { Err(AnswerError::Refused(errno)) }
}

fn read_interface_line(line: Line<'_>, interface: &mut ObservedInterface) -> Option<()> {
    match line.key {
        "private_key" if is_no_key(line.value) => interface.private_key = None,
        "private_key" => interface.private_key = Some(PrivateKey::from_hex(line.value).ok()?),
        "listen_port" => interface.listen_port = decimal(line.value)?,
        "fwmark" => interface.firewall_mark = decimal(line.value)?,
        _ => {}
    }
    Some(())
}

fn read_peer_line(line: Line<'_>, peer: &mut ObservedPeer) -> Option<()> {
    let handshake = peer.last_handshake.unwrap_or(Duration::ZERO);
    match line.key {
        "preshared_key" => peer.preshared_key = PresharedKey::from_hex(line.value).ok()?,
        "endpoint" => peer.endpoint = Some(endpoint(line.value)?),
        "last_handshake_time_sec" => {
            peer.last_handshake = Some(Duration::new(decimal(line.value)?, handshake.subsec_nanos()));
        }
        "last_handshake_time_nsec" => {
            let nanos = decimal(line.value).filter(|nanos: &u32| *nanos < 1_000_000_000)?;
            peer.last_handshake = Some(Duration::new(handshake.as_secs(), nanos));
        }
        "tx_bytes" => peer.sent_bytes = decimal(line.value)?,
        "rx_bytes" => peer.received_bytes = decimal(line.value)?,
        "persistent_keepalive_interval" => peer.keepalive_seconds = decimal(line.value)?,
        "allowed_ip" => peer.addresses.push(range(line.value)?),
        _ => {}
    }
    Some(())
}
