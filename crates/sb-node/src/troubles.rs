//! What is wrong with this server at present, for its status: found by watchers that know nothing of each other.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What a trouble is about. Of each there is one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// The disk under the agent's state is full.
    Reserve,
    /// The disk under the data directory does not answer.
    Storage,
    /// Slots are about to be given up.
    Slots,
    /// The libraries sort otherwise than those that the data was written with.
    Collations,
    /// The mesh is not as the documents want it.
    Mesh,
    /// The packet filter lets more through than it should.
    Firewall,
    /// Packets of other servers are to be passed on, and cannot be.
    Carrying,
    /// The primary is not where people want it, and could be.
    Home,
    /// Another server's wall clock is too far from this one's.
    Clock,
    /// Large packets to another server get lost, whatever size is used.
    Path,
    /// Health checks are not answered on their port.
    HealthPort,
    /// HAProxy's agent check is not answered.
    AgentCheckPort,
    /// What is agreed about the mesh cannot be kept, and is not followed.
    Agreement,
    /// The cluster's record lacks what is agreed about the mesh.
    Record,
    /// The proxy cannot listen where it should.
    Proxy,
}

/// The troubles of one server.
#[derive(Debug, Default)]
pub struct Troubles {
    present: Mutex<BTreeMap<Topic, String>>,
}

impl Troubles {
    /// Says what is wrong, or that nothing is. Whether that is new.
    pub fn set(&self, topic: Topic, sentence: Option<String>) -> Change {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match &sentence {
            Some(sentence) => present.insert(topic, sentence.clone()),
            None => present.remove(&topic),
        };
        match (before, sentence) {
            (None, Some(_)) => Change::Began,
            (Some(_), None) => Change::Ended,
            (Some(before), Some(now)) if before != now => Change::Differs,
            (None, None) | (Some(_), Some(_)) => Change::None,
        }
    }

    /// All of them, a sentence each.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// What a word about a trouble changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// It was not there before.
    Began,
    /// It is there as before, in other words.
    Differs,
    /// It is over.
    Ended,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_new_once_and_over_once() {
        let troubles = Troubles::default();
        let said = |text: &str| Some(text.to_owned());
        assert_eq!(troubles.set(Topic::Slots, said("one slot")), Change::Began);
        assert_eq!(troubles.set(Topic::Slots, said("one slot")), Change::None);
        assert_eq!(troubles.set(Topic::Slots, said("two slots")), Change::Differs);
        assert_eq!(troubles.sentences(), ["two slots"]);
        assert_eq!(troubles.set(Topic::Slots, None), Change::Ended);
        assert_eq!(troubles.set(Topic::Slots, None), Change::None);
    }
}
