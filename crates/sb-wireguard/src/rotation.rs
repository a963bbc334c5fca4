//! A server's key, replaced while packets flow.
//!
//! A [`Record`] of the cluster says which server goes over from which key to which. The others follow it without a memory
//! of their own ([`follow`]): they add the new key as a peer without addresses, which goes on trying to shake hands, and
//! move the addresses as soon as the new key is heard later than the old one. If the owner turns back, so do they. A server
//! that is away reads the record when it comes back, through any third one.
//!
//! The [`Owner`] announces, waits until all that are there have added the key, swaps, and ends the rotation when they have moved.
//! Its state is one line of text, written before what it tells to do is done; everything that it tells can be done again, so
//! after a crash the agent reads the line and does what it says.

mod owner;

pub use owner::{Action, Done, Facts, Owner, OwnerTextError, SWAP_MS_MAX, Step};

use sb_topology::ServerName;

use crate::{DesiredInterface, ObservedInterface, PublicKey};

/// What the cluster knows of a rotation. At most one goes on at a time: a server that is away finds its way back through
/// the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose key.
    pub server: ServerName,
    /// The key before.
    pub old: PublicKey,
    /// The key after.
    pub new: PublicKey,
}

/// How far a server has followed a rotation; it publishes this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// The new key is no peer yet.
    Unaware,
    /// The new key is a peer without addresses.
    Prepared,
    /// The server's addresses are behind the new key.
    Moved,
}

/// Puts the two keys of a rotation into what another server's interface should be: the addresses go where the later handshake
/// was, and stay with the old key while neither has been heard.
pub fn follow(record: &Record, desired: &mut DesiredInterface, observed: &ObservedInterface) {
    let Some(at) = desired.peers.iter().position(|peer| peer.name == record.server) else { return };
    let last = |key| observed.peer(key).and_then(|peer| peer.last_handshake);
    let mut old = desired.peers[at].clone();
    let mut new = old.clone();
    old.public_key = record.old;
    new.public_key = record.new;
    // A preshared key belongs to two servers, not to their keys, so it stays with both.
    if last(&record.new) > last(&record.old) {
        old.addresses.clear();
    } else {
        new.addresses.clear();
    }
    desired.peers.splice(at..=at, [old, new]);
    desired.peers.sort_by_key(|peer| peer.public_key);
}

/// How far the interface of another server has come.
#[must_use]
pub fn progress(record: &Record, observed: &ObservedInterface) -> Progress {
    match observed.peer(&record.new) {
        None => Progress::Unaware,
        Some(peer) if peer.addresses.is_empty() => Progress::Prepared,
        Some(_) => Progress::Moved,
    }
}
