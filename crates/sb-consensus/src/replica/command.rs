use serde::{Deserialize, Serialize};

use crate::MemberId;

/// What the entries of this crate say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Command {
    /// A request of the embedder, as JSON.
    Request { stamp: Stamp, body: Vec<u8> },
    /// A member advertises another address.
    Move { id: MemberId, address: String },
}

/// The identity of a request: however often it is in the log, it takes effect once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// Who proposed it.
    pub(crate) member: MemberId,
    /// Which start of that member; counted durably, so a later one is larger.
    pub(crate) start: u64,
    /// Which request of that start, from 1.
    pub(crate) seq: u64,
    /// The member has no interest any more in the answers to requests before this one.
    pub(crate) floor: u64,
}

impl Command {
    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("a command has no part that cannot be encoded")
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        postcard::from_bytes(bytes)
    }
}
