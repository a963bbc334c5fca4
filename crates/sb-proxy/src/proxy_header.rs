//! The PROXY protocol, versions 1 and 2: the header in which a load balancer before us says who its client is.
//!
//! Source: "The PROXY protocol", HAProxy, `doc/proxy-protocol.txt`. A listener that expects a header takes no connection
//! without one, since otherwise anybody could claim an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

/// Longest header of version 1, in bytes, with its end of line.
pub const V1_BYTES_MAX: usize = 108;

/// Most bytes after the fixed part of a header of version 2.
pub const V2_REST_BYTES_MAX: usize = 536;

/// The longest header of all, in bytes.
pub const HEADER_BYTES_MAX: usize = V2_FIXED_BYTES + V2_REST_BYTES_MAX;

const V2_FIXED_BYTES: usize = 16;
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V1_SIGNATURE: &[u8; 6] = b"PROXY ";

/// A header that is there as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Who the client is; [`None`] when the load balancer speaks for itself or does not know.
    pub source: Option<SocketAddr>,
    /// How many bytes it took. What follows is the client's.
    pub length: usize,
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProxyHeaderError {
    /// They begin otherwise.
    #[error("the connection does not begin with a PROXY header")]
    Missing,
    /// Longer than any header has to be.
    #[error("the PROXY header is too long")]
    TooLong,
    /// It begins like a header and is none.
    #[error("the PROXY header has a wrong {0}")]
    Malformed(&'static str),
}

/// Reads the header that `bytes` begin with; [`None`] when more bytes are needed.
///
/// # Errors
/// When no bytes that may follow make it a header.
pub fn parse(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    if begins_alike(bytes, V2_SIGNATURE) {
        return parse_v2(bytes);
    }
    if begins_alike(bytes, V1_SIGNATURE) {
        return parse_v1(bytes);
    }
    Err(ProxyHeaderError::Missing)
}

fn begins_alike(bytes: &[u8], signature: &[u8]) -> bool {
    bytes.iter().zip(signature).all(|(a, b)| a == b)
}

fn parse_v1(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let seen = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = seen.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < V1_BYTES_MAX { Ok(None) } else { Err(ProxyHeaderError::TooLong) };
    };
    let line = std::str::from_utf8(&seen[..end]).map_err(|_| ProxyHeaderError::Malformed("encoding"))?;
    let length = end + 2;
    let mut words = line.split(' ').skip(1);
    let wrong = ProxyHeaderError::Malformed;
    let source = match words.next() {
        Some("UNKNOWN") => return Ok(Some(ProxyHeader { source: None, length })),
        Some("TCP4") => IpAddr::V4(word(words.next()).ok_or(wrong("address"))?),
        Some("TCP6") => IpAddr::V6(word(words.next()).ok_or(wrong("address"))?),
        Some(_) | None => return Err(wrong("family")),
    };
    let destination: IpAddr = word(words.next()).ok_or(wrong("address"))?;
    if destination.is_ipv4() != source.is_ipv4() {
        return Err(wrong("address"));
    }
    let port = word(words.next()).ok_or(wrong("port"))?;
    let _destination: u16 = word(words.next()).ok_or(wrong("port"))?;
    match words.next() {
        None => Ok(Some(ProxyHeader { source: Some(SocketAddr::new(source, port)), length })),
        Some(_) => Err(wrong("number of words")),
    }
}

fn word<T: std::str::FromStr>(word: Option<&str>) -> Option<T> {
    word?.parse().ok()
}

fn parse_v2(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let Some((fixed, rest)) = bytes.split_at_checked(V2_FIXED_BYTES) else { return Ok(None) };
    let size = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if size > V2_REST_BYTES_MAX {
        return Err(ProxyHeaderError::TooLong);
    }
    let known = match fixed[12] {
        0x20 => false,
        0x21 => true,
        _ => return Err(ProxyHeaderError::Malformed("version or command")),
    };
    let Some(rest) = rest.get(..size) else { return Ok(None) };
    let source = if known { source_v2(fixed[13], rest)? } else { None };
    Ok(Some(ProxyHeader { source, length: V2_FIXED_BYTES + size }))
}

fn source_v2(family: u8, rest: &[u8]) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    let short = ProxyHeaderError::Malformed("length");
    let port = |at: usize| Some(u16::from_be_bytes([*rest.get(at)?, *rest.get(at + 1)?]));
    match family {
        0x11 => {
            let octets: [u8; 4] = rest.get(..4).and_then(|it| it.try_into().ok()).ok_or(short)?;
            Ok(Some(SocketAddr::new(Ipv4Addr::from(octets).into(), port(8).ok_or(short)?)))
        }
        0x21 => {
            let octets: [u8; 16] = rest.get(..16).and_then(|it| it.try_into().ok()).ok_or(short)?;
            Ok(Some(SocketAddr::new(Ipv6Addr::from(octets).into(), port(32).ok_or(short)?)))
        }
        // Unspecified, datagrams and Unix sockets: allowed, and nobody with an address.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => Ok(None),
        _ => Err(ProxyHeaderError::Malformed("family")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = V2_SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    fn source(bytes: &[u8]) -> Option<SocketAddr> {
        parse(bytes).unwrap().unwrap().source
    }

    #[test]
    fn both_versions_name_the_client() {
        let line = b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 6432\r\nrest";
        assert_eq!(parse(line).unwrap().unwrap().length, line.len() - 4);
        assert_eq!(source(line), Some("192.0.2.7:5000".parse().unwrap()));
        assert_eq!(source(b"PROXY TCP6 ::1 ::2 1 2\r\n"), Some("[::1]:1".parse().unwrap()));
        let four = v2(0x21, 0x11, &[192, 0, 2, 7, 192, 0, 2, 1, 0x13, 0x88, 0x19, 0x20]);
        assert_eq!(source(&four), Some("192.0.2.7:5000".parse().unwrap()));
        let mut rest = [0; 36];
        rest[15] = 1;
        rest[33] = 9;
        assert_eq!(source(&v2(0x21, 0x21, &rest)), Some("[::1]:9".parse().unwrap()));
    }

    #[test]
    fn a_load_balancer_that_speaks_for_itself_names_nobody() {
        assert_eq!(source(&v2(0x20, 0x00, &[])), None);
        assert_eq!(source(b"PROXY UNKNOWN whatever\r\n"), None);
    }

    #[test]
    fn every_beginning_of_a_header_asks_for_more() {
        let four = v2(0x21, 0x11, &[0; 12]);
        for whole in [&b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 6432\r\n"[..], &four] {
            for length in 0..whole.len() {
                assert_eq!(parse(&whole[..length]), Ok(None), "{length}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused_as_soon_as_that_is_known() {
        use ProxyHeaderError::{Malformed, Missing, TooLong};
        let endless = [b"PROXY ".to_vec(), vec![b'x'; V1_BYTES_MAX]].concat();
        for (bytes, error) in [
            (b"\0\0\0\x08\x04\xd2\x16\x2f".to_vec(), Missing),
            (endless, TooLong),
            (v2(0x21, 0x11, &[0; 1000]), TooLong),
            (v2(0x11, 0x11, &[0; 12]), Malformed("version or command")),
            (v2(0x21, 0x11, &[0; 3]), Malformed("length")),
            (v2(0x21, 0x77, &[]), Malformed("family")),
            (b"PROXY TCP4 ::1 ::1 1 2\r\n".to_vec(), Malformed("address")),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n".to_vec(), Malformed("port")),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n".to_vec(), Malformed("number of words")),
            (b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n".to_vec(), Malformed("family")),
        ] {
            assert_eq!(parse(&bytes), Err(error), "{bytes:?}");
        }
    }
}
