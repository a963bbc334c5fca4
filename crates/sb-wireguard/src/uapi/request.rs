use std::fmt::Write;

use zeroize::Zeroizing;

use super::line::{Line, decimal, endpoint, is_no_key, lines, range};
use super::{Errno, REQUEST_ADDRESSES_MAX, REQUEST_BYTES_MAX, REQUEST_PEERS_MAX};
use crate::{AddressesChange, AllowedIp, Change, PeerChange, PeerScope, PresharedKey, PrivateKey, PublicKey};

/// Bytes set aside for one change, so that secrets are not left behind where a growing text was before.
const CHANGE_BYTES: usize = 512;
/// Bytes set aside for one range of addresses.
const RANGE_BYTES: usize = 64;

/// What a client asks of an interface.
#[derive(Debug, Clone)]
pub enum Request {
    /// Everything that the interface says of itself.
    Get,
    /// To be carried out in this order.
    Set(Vec<Change>),
}

/// A request that cannot be carried out; nothing of it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// More bytes, peers or ranges than are read.
    #[error("a request has at most {limit} {what}")]
    TooBig {
        /// How many.
        limit: usize,
        /// Of what.
        what: &'static str,
    },
    /// It begins with neither `get=1` nor `set=1`.
    #[error("a request begins with `get=1` or `set=1`")]
    Operation,
    /// A line is not `key=value`, or follows the empty one.
    #[error("line {line} is not of the form key=value")]
    Form {
        /// Number of the line, from 1.
        line: usize,
    },
    /// A key that is not known at its place.
    #[error("the key of line {line} is unknown, or stands at the wrong place")]
    Key {
        /// Number of the line, from 1.
        line: usize,
    },
    /// A value that is not of its key's form.
    #[error("the value of line {line} is not one of its key")]
    Value {
        /// Number of the line, from 1.
        line: usize,
    },
}

impl RequestError {
    /// What the client is told.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Self::TooBig { .. } => Errno::TOO_BIG,
            Self::Operation | Self::Form { .. } => Errno::PROTOCOL,
            Self::Key { .. } | Self::Value { .. } => Errno::INVALID,
        }
    }
}

impl Request {
    /// Reads one message, with or without the empty line at its end.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(text: &str) -> Result<Self, RequestError> {
        if text.len() > REQUEST_BYTES_MAX {
            return Err(RequestError::TooBig { limit: REQUEST_BYTES_MAX, what: "bytes" });
        }
        let lines = lines(text).map_err(|line| RequestError::Form { line })?;
        match lines.split_first() {
            Some((Line { key: "get", value: "1", .. }, [])) => Ok(Self::Get),
            Some((Line { key: "get", value: "1", .. }, [next, ..])) => {
                Err(RequestError::Key { line: next.number })
            }
            Some((Line { key: "set", value: "1", .. }, rest)) => read_changes(rest).map(Self::Set),
            Some(_) | None => Err(RequestError::Operation),
        }
    }
}

/// Each peer's lines are read by themselves, into a change that starts empty.
fn read_changes(lines: &[Line<'_>]) -> Result<Vec<Change>, RequestError> {
    let is_range = |line: &&Line<'_>| line.key == "allowed_ip";
    if lines.iter().filter(is_range).count() > REQUEST_ADDRESSES_MAX {
        return Err(RequestError::TooBig { limit: REQUEST_ADDRESSES_MAX, what: "ranges of addresses" });
    }
    let starts_peer = |line: &Line<'_>| line.key == "public_key";
    let peers_at = lines.iter().position(starts_peer).unwrap_or(lines.len());
    let (interface, mut peers) = lines.split_at(peers_at);
    let mut changes =
        interface.iter().map(|line| read_interface_line(*line)).collect::<Result<Vec<_>, _>>()?;
    let mut named = 0;
    while let Some((first, rest)) = peers.split_first() {
        named += 1;
        if named > REQUEST_PEERS_MAX {
            return Err(RequestError::TooBig { limit: REQUEST_PEERS_MAX, what: "peers" });
        }
        let next = rest.iter().position(starts_peer).unwrap_or(rest.len());
        let (own, others) = rest.split_at(next);
        changes.push(read_peer(*first, own)?);
        peers = others;
    }
    Ok(changes)
}

fn read_interface_line(line: Line<'_>) -> Result<Change, RequestError> {
    let value = RequestError::Value { line: line.number };
    match line.key {
        "private_key" if is_no_key(line.value) => Ok(Change::PrivateKey(None)),
        "private_key" => {
            PrivateKey::from_hex(line.value).map(|key| Change::PrivateKey(Some(key))).map_err(|_| value)
        }
        "listen_port" => decimal(line.value).map(Change::ListenPort).ok_or(value),
        "fwmark" => decimal(line.value).map(Change::FirewallMark).ok_or(value),
        "replace_peers" => is_true(line).map(|()| Change::RemoveAllPeers),
        _ => Err(RequestError::Key { line: line.number }),
    }
}

/// A peer that is removed is removed, whatever else is said of it.
fn read_peer(first: Line<'_>, lines: &[Line<'_>]) -> Result<Change, RequestError> {
    let public_key =
        PublicKey::from_hex(first.value).map_err(|_| RequestError::Value { line: first.number })?;
    let mut change = PeerChange::new(public_key, PeerScope::MadeIfMissing);
    let mut removed = false;
    for line in lines {
        if line.key == "remove" {
            is_true(*line)?;
            removed = true;
        } else {
            read_peer_line(*line, &mut change)?;
        }
    }
    Ok(if removed { Change::RemovePeer(public_key) } else { Change::Peer(change) })
}

fn read_peer_line(line: Line<'_>, change: &mut PeerChange) -> Result<(), RequestError> {
    let value = RequestError::Value { line: line.number };
    match line.key {
        "update_only" => {
            is_true(line)?;
            change.scope = PeerScope::OnlyIfPresent;
        }
        "preshared_key" => {
            change.preshared_key = Some(PresharedKey::from_hex(line.value).map_err(|_| value)?);
        }
        "endpoint" => change.endpoint = Some(endpoint(line.value).ok_or(value)?),
        "persistent_keepalive_interval" => {
            change.keepalive_seconds = Some(decimal(line.value).ok_or(value)?);
        }
        "replace_allowed_ips" => {
            is_true(line)?;
            change.addresses = Some(AddressesChange::Replace(Vec::new()));
        }
        "allowed_ip" => {
            let (text, sign) =
                line.value.strip_prefix('-').map_or((line.value, Sign::More), |text| (text, Sign::Less));
            alter(&mut change.addresses, range(text).ok_or(value)?, sign);
        }
        "protocol_version" if line.value == "1" => {}
        "protocol_version" => return Err(value),
        _ => return Err(RequestError::Key { line: line.number }),
    }
    Ok(())
}

enum Sign {
    More,
    Less,
}

/// The last word on a range counts.
fn alter(change: &mut Option<AddressesChange>, range: AllowedIp, sign: Sign) {
    let nothing = || AddressesChange::Alter { more: Vec::new(), less: Vec::new() };
    let (more, less) = match change.get_or_insert_with(nothing) {
        AddressesChange::Replace(all) => (all, None),
        AddressesChange::Alter { more, less } => (more, Some(less)),
    };
    let (target, other) = match sign {
        Sign::More => (Some(more), less),
        Sign::Less => (less, Some(more)),
    };
    if let Some(other) = other {
        other.retain(|it| *it != range);
    }
    if let Some(target) = target.filter(|target| !target.contains(&range)) {
        target.push(range);
    }
}

fn is_true(line: Line<'_>) -> Result<(), RequestError> {
    if line.value == "true" { Ok(()) } else { Err(RequestError::Value { line: line.number }) }
}

/// The changes as messages for an interface's socket, to be sent in this order, each after the answer to the one
/// before: usually one, and a further one wherever something of the interface itself follows a peer.
#[must_use]
pub fn write_requests(changes: &[Change]) -> Vec<Zeroizing<String>> {
    let is_of_peer = |change: &Change| matches!(change, Change::RemovePeer(_) | Change::Peer(_));
    let starts_message = |pair: &[Change]| is_of_peer(&pair[0]) && !is_of_peer(&pair[1]);
    let mut messages = Vec::new();
    let mut rest = changes;
    while !rest.is_empty() {
        let end = rest.windows(2).position(starts_message).map_or(rest.len(), |at| at + 1);
        let (message, later) = rest.split_at(end.min(REQUEST_PEERS_MAX));
        messages.push(write_request(message));
        rest = later;
    }
    messages
}

fn write_request(changes: &[Change]) -> Zeroizing<String> {
    let ranges: usize = changes.iter().map(range_count).sum();
    let capacity = CHANGE_BYTES * (changes.len() + 1) + RANGE_BYTES * ranges;
    let mut text = Zeroizing::new(String::with_capacity(capacity));
    text.push_str("set=1\n");
    for change in changes {
        write_change(&mut text, change);
    }
    text.push('\n');
    text
}

fn range_count(change: &Change) -> usize {
    match change {
        Change::Peer(PeerChange { addresses: Some(AddressesChange::Replace(all)), .. }) => all.len(),
        Change::Peer(PeerChange { addresses: Some(AddressesChange::Alter { more, less }), .. }) => {
            more.len() + less.len()
        }
        _ => 0,
    }
}

fn write_change(text: &mut String, change: &Change) {
    match change {
        Change::PrivateKey(Some(key)) => put(text, "private_key", key.expose_hex().as_str()),
        Change::PrivateKey(None) => put(text, "private_key", "0".repeat(64)),
        Change::ListenPort(port) => put(text, "listen_port", port),
        Change::FirewallMark(mark) => put(text, "fwmark", mark),
        Change::RemoveAllPeers => put(text, "replace_peers", true),
        Change::RemovePeer(key) => {
            put(text, "public_key", key.to_hex());
            put(text, "remove", true);
        }
        Change::Peer(peer) => write_peer(text, peer),
    }
}

fn write_peer(text: &mut String, peer: &PeerChange) {
    put(text, "public_key", peer.public_key.to_hex());
    if peer.scope == PeerScope::OnlyIfPresent {
        put(text, "update_only", true);
    }
    match &peer.preshared_key {
        Some(Some(key)) => put(text, "preshared_key", key.expose_hex().as_str()),
        Some(None) => put(text, "preshared_key", "0".repeat(64)),
        None => {}
    }
    if let Some(endpoint) = peer.endpoint {
        put(text, "endpoint", endpoint);
    }
    if let Some(seconds) = peer.keepalive_seconds {
        put(text, "persistent_keepalive_interval", seconds);
    }
    match &peer.addresses {
        Some(AddressesChange::Replace(all)) => {
            put(text, "replace_allowed_ips", true);
            all.iter().for_each(|range| put(text, "allowed_ip", range));
        }
        Some(AddressesChange::Alter { more, less }) => {
            less.iter().for_each(|range| put(text, "allowed_ip", format_args!("-{range}")));
            more.iter().for_each(|range| put(text, "allowed_ip", range));
        }
        None => {}
    }
}

/// Appends one line.
pub(super) fn put(text: &mut String, key: &str, value: impl std::fmt::Display) {
    writeln!(text, "{key}={value}").expect("a string takes every text");
}

#[cfg(test)]
mod tests;
