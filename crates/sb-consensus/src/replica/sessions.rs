use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::MemberId;

use super::command::Stamp;

/// Answers kept for retries: which requests of each member were applied, and what came of them.
///
/// Part of the replicated state, so every member decides alike whether a request is new. An answer is kept until
/// its member says (by the floor of a later request) that it no longer waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Sessions {
    by_member: BTreeMap<MemberId, Session>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Session {
    start: u64,
    floor: u64,
    answers: BTreeMap<u64, Vec<u8>>,
}

impl Sessions {
    /// Whether a request has not been applied yet and is still waited for.
    pub(crate) fn is_new(&self, stamp: &Stamp) -> bool {
        let Some(session) = self.by_member.get(&stamp.member) else { return true };
        match stamp.start.cmp(&session.start) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Equal => {
                stamp.seq >= session.floor && !session.answers.contains_key(&stamp.seq)
            }
        }
    }

    /// Notes the answer to a request that [`is_new`](Self::is_new).
    pub(crate) fn record(&mut self, stamp: &Stamp, answer: Vec<u8>) {
        let session = self.by_member.entry(stamp.member).or_default();
        if stamp.start > session.start {
            *session = Session { start: stamp.start, ..Session::default() };
        }
        session.floor = session.floor.max(stamp.floor);
        session.answers.insert(stamp.seq, answer);
        session.answers = session.answers.split_off(&session.floor);
    }

    /// The answer to one request, while it is kept.
    pub(crate) fn answer(&self, member: MemberId, start: u64, seq: u64) -> Option<&[u8]> {
        let session = self.by_member.get(&member).filter(|session| session.start == start)?;
        session.answers.get(&seq).map(Vec::as_slice)
    }

    pub(crate) fn forget(&mut self, member: MemberId) {
        self.by_member.remove(&member);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(start: u64, seq: u64, floor: u64) -> Stamp {
        Stamp { member: MemberId::new(1).unwrap(), start, seq, floor }
    }

    #[test]
    fn a_request_is_new_once() {
        let mut sessions = Sessions::default();
        assert!(sessions.is_new(&stamp(1, 1, 1)));
        sessions.record(&stamp(1, 1, 1), b"a".to_vec());
        assert!(!sessions.is_new(&stamp(1, 1, 1)));
        assert_eq!(sessions.answer(MemberId::new(1).unwrap(), 1, 1), Some(b"a".as_slice()));
    }

    #[test]
    fn a_request_below_the_floor_is_never_applied_again() {
        let mut sessions = Sessions::default();
        sessions.record(&stamp(1, 1, 1), b"a".to_vec());
        sessions.record(&stamp(1, 3, 3), b"c".to_vec());
        assert!(!sessions.is_new(&stamp(1, 1, 1)), "its answer is gone, its effect is not");
        assert!(!sessions.is_new(&stamp(1, 2, 2)), "given up by its proposer");
    }

    #[test]
    fn a_request_of_an_earlier_start_is_stale() {
        let mut sessions = Sessions::default();
        sessions.record(&stamp(2, 1, 1), b"a".to_vec());
        assert!(!sessions.is_new(&stamp(1, 9, 9)));
        assert!(sessions.is_new(&stamp(3, 1, 1)));
    }
}
