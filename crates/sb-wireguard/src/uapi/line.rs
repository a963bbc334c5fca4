use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::AllowedIp;

/// One line of a message, split at its first `=`.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: usize,
    pub(super) key: &'a str,
    pub(super) value: &'a str,
}

/// The lines of a message up to the empty one; an error is the number of the line that has no `=`, or that follows
/// the end.
pub(super) fn lines(text: &str) -> Result<Vec<Line<'_>>, usize> {
    let mut lines = Vec::new();
    let mut ended = false;
    for (at, line) in text.split_terminator('\n').enumerate() {
        let number = at + 1;
        match line.split_once('=') {
            _ if ended => return Err(number),
            None if line.is_empty() => ended = true,
            None => return Err(number),
            Some((key, value)) => lines.push(Line { number, key, value }),
        }
    }
    Ok(lines)
}

/// A number of decimal digits only: no sign, no space.
pub(super) fn decimal<T: FromStr>(text: &str) -> Option<T> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// `address/prefix length`; bits behind the prefix do not count, as everywhere in WireGuard.
pub(super) fn range(text: &str) -> Option<AllowedIp> {
    let (address, prefix) = text.split_once('/')?;
    AllowedIp::containing(address.parse::<IpAddr>().ok()?, decimal(prefix)?).ok()
}

/// `address:port`, an IPv6 address in brackets; port 0 is nowhere.
pub(super) fn endpoint(text: &str) -> Option<SocketAddr> {
    text.parse().ok().filter(|endpoint: &SocketAddr| endpoint.port() != 0)
}

/// Whether the text is a key of zeros, which stands for none.
pub(super) fn is_no_key(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|digit| digit == b'0')
}
