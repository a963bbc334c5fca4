use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::Membership;
use crate::replica::{Position, Snapshot};

const FORMAT: u32 = 1;

/// Everything that the group replicates, as the value of one key: a line of JSON about the group, then the state
/// machine's own snapshot. Where that is JSON too, `etcdctl get` shows something that a person can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) cluster: String,
    pub(super) founding: Founding,
    pub(super) snapshot: Snapshot,
}

/// A random number that the founder gives the group: a key that was deleted and founded again is another group, even
/// under the same name.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Founding(u64);

impl Founding {
    pub(super) fn random() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for Founding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Founding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    cluster: String,
    founding: Founding,
    index: u64,
    membership: Membership,
    /// The answers kept for retries: this crate's own encoding, base64.
    sessions: String,
}

/// The value is not an anchor that this version can read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the value is not an anchor that this version can read: {reason}")]
pub(super) struct MalformedAnchor {
    reason: String,
}

impl Anchor {
    pub(super) fn encode(&self) -> Vec<u8> {
        let header = Header {
            format: FORMAT,
            cluster: self.cluster.clone(),
            founding: self.founding,
            index: self.snapshot.position.index,
            membership: self.snapshot.membership.clone(),
            sessions: STANDARD.encode(&self.snapshot.sessions),
        };
        let mut bytes = serde_json::to_vec(&header).expect("the header has text keys and no foreign types");
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.snapshot.machine);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, MalformedAnchor> {
        let malformed = |reason: String| MalformedAnchor { reason };
        let end =
            bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| malformed("one line only".into()))?;
        let (header, machine) = (&bytes[..end], &bytes[end + 1..]);
        let header: Header = serde_json::from_slice(header).map_err(|error| malformed(error.to_string()))?;
        if header.format != FORMAT {
            return Err(malformed(format!("format {} is not {FORMAT}", header.format)));
        }
        let sessions = STANDARD.decode(&header.sessions).map_err(|error| malformed(error.to_string()))?;
        let snapshot = Snapshot {
            position: position(header.index),
            membership: header.membership,
            sessions,
            machine: machine.to_vec(),
        };
        if !snapshot.is_sound() {
            return Err(malformed("its membership or its size is against the rules".into()));
        }
        Ok(Self { cluster: header.cluster, founding: header.founding, snapshot })
    }
}

/// A place in the order of requests. etcd's own terms have no meaning here.
pub(super) const fn position(index: u64) -> Position {
    Position { index, term: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::no_sessions;
    use crate::{Member, MemberId, MembershipChange};

    fn anchor() -> Anchor {
        let member = |id, name: &str| Member {
            id: MemberId::new(id).unwrap(),
            name: name.into(),
            address: "x:1".into(),
        };
        let mut membership = Membership::single(member(u64::MAX, "a"));
        membership.apply(&MembershipChange::AddLearner(member(7, "b"))).unwrap();
        let snapshot = Snapshot {
            position: position(9),
            membership,
            sessions: no_sessions(),
            machine: b"{\n}".to_vec(),
        };
        Anchor { cluster: "group".into(), founding: Founding::random(), snapshot }
    }

    #[test]
    fn an_anchor_is_read_back_as_it_was_written() {
        let anchor = anchor();
        assert_eq!(Anchor::decode(&anchor.encode()), Ok(anchor));
    }

    #[test]
    fn what_is_no_anchor_is_refused() {
        let good = anchor().encode();
        let newer = String::from_utf8(good.clone()).unwrap().replace("\"format\":1", "\"format\":2");
        for bytes in [&b""[..], b"foo", b"{}\n", newer.as_bytes(), &good[..good.len() / 2]] {
            assert!(Anchor::decode(bytes).is_err());
        }
    }
}
