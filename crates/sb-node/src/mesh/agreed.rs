//! What the servers agree on about the mesh: who carries whose packets, and whose key is being replaced.
//!
//! It is a document of the cluster's record (`SetMesh`), which only whoever knows the newest one replaces. Two servers that
//! have to learn of a relay are cut off from each other, and one may be cut off from the store's leader: so every agent
//! also tells the newest agreement that it knows ([`sb_api::MeshWord`]), and keeps a copy on disk, since a server's
//! newest key may be nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use sb_topology::ServerName;
use sb_wireguard::relay::{Pair, RelayPlan};
use sb_wireguard::rotation::Record;
use sb_wireguard::{KeyError, PublicKey};
use serde::{Deserialize, Serialize};

/// The content of an agreement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agreed {
    /// Which pairs are carried by whom.
    pub(super) relays: RelayPlan,
    /// The replacement of a key that goes on.
    pub(super) rotation: Option<Record>,
    /// Keys that were replaced since the topology in force was written.
    pub(super) keys: BTreeMap<ServerName, PublicKey>,
    /// How often each server's key has been replaced: of two agreements the one that counts more names the newer key.
    pub(super) replacements: BTreeMap<ServerName, u64>,
    /// By how much the agreement's number is ahead of the record's: the record had lost newer ones.
    pub(super) ahead: u64,
}

/// The text is no agreement.
#[derive(Debug, thiserror::Error)]
pub(super) enum AgreedError {
    /// Not the JSON that an agent writes.
    #[error("the agreement about the mesh is not readable")]
    Form(#[from] serde_json::Error),
    /// A key that is none.
    #[error("the agreement about the mesh has a key that is none")]
    Key(#[from] KeyError),
    /// More than the record takes.
    #[error("the agreement about the mesh has {bytes} bytes")]
    TooLong {
        /// So many.
        bytes: usize,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    relays: RelaysText,
    rotation: Option<RotationText>,
    keys: BTreeMap<ServerName, String>,
    #[serde(default)]
    replacements: BTreeMap<ServerName, u64>,
    #[serde(default)]
    ahead: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct RelaysText {
    generation: u64,
    pairs: Vec<PairText>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PairText {
    one: ServerName,
    other: ServerName,
    via: ServerName,
}

#[derive(Debug, Serialize, Deserialize)]
struct RotationText {
    server: ServerName,
    old: String,
    new: String,
}

impl Agreed {
    /// Reads a document; an empty one is the agreement that nobody has changed yet.
    pub(super) fn read(document: &str) -> Result<Self, AgreedError> {
        if document.is_empty() {
            return Ok(Self::default());
        }
        let Document { relays, rotation, keys, replacements, ahead } = serde_json::from_str(document)?;
        let pairs = relays.pairs.into_iter().map(|it| (Pair::new(&it.one, &it.other), it.via));
        let rotation = rotation.map(|it| -> Result<Record, KeyError> {
            Ok(Record { server: it.server, old: it.old.parse()?, new: it.new.parse()? })
        });
        let keys = keys.into_iter().map(|(server, key)| Ok((server, key.parse()?)));
        Ok(Self {
            relays: RelayPlan::known(relays.generation, pairs),
            rotation: rotation.transpose()?,
            keys: keys.collect::<Result<_, KeyError>>()?,
            replacements,
            ahead,
        })
    }

    /// The document that says so.
    pub(super) fn to_document(&self) -> String {
        let pair = |(pair, via): (&Pair, &ServerName)| {
            let (one, other) = pair.servers();
            PairText { one: one.clone(), other: other.clone(), via: via.clone() }
        };
        let relays = RelaysText {
            generation: self.relays.generation,
            pairs: self.relays.relays().map(pair).collect(),
        };
        let rotation = self.rotation.as_ref().map(|it| RotationText {
            server: it.server.clone(),
            old: it.old.to_string(),
            new: it.new.to_string(),
        });
        let keys = self.keys.iter().map(|(server, key)| (server.clone(), key.to_string())).collect();
        let (replacements, ahead) = (self.replacements.clone(), self.ahead);
        serde_json::to_string(&Document { relays, rotation, keys, replacements, ahead })
            .expect("the document has text keys and no foreign types")
    }

    /// Counts the keys that are others than `before`: each was replaced once more.
    pub(super) fn count_replacements(&mut self, before: &Self) {
        for server in before.keys.keys().chain(self.keys.keys()).collect::<BTreeSet<_>>() {
            if before.keys.get(server) != self.keys.get(server) {
                self.replacements.insert(server.clone(), before.replaced(server).saturating_add(1));
            }
        }
    }

    /// Takes over the keys that `other` knows to be newer; whether there were any. A server's key is the one that it went
    /// over to last, whichever store agreed on it: who lost that store has not got the old one back.
    pub(super) fn learn_keys(&mut self, other: &Self) -> bool {
        let mut learned = false;
        for (server, count) in &other.replacements {
            if *count <= self.replaced(server) {
                continue;
            }
            learned = true;
            self.replacements.insert(server.clone(), *count);
            match other.keys.get(server) {
                Some(key) => drop(self.keys.insert(server.clone(), *key)),
                None => drop(self.keys.remove(server)),
            }
        }
        learned
    }

    fn replaced(&self, server: &ServerName) -> u64 {
        self.replacements.get(server).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agreement_reads_back_as_written() {
        let name = |name: &str| -> ServerName { name.parse().unwrap() };
        let key = |byte| PublicKey::from_bytes([byte; 32]);
        let pair = Pair::new(&name("tucson-1"), &name("burlington-1"));
        let agreed = Agreed {
            relays: RelayPlan::known(3, [(pair, name("ravena-1"))]),
            rotation: Some(Record { server: name("ravena-2"), old: key(1), new: key(2) }),
            keys: [(name("ravena-1"), key(3))].into(),
            replacements: [(name("ravena-1"), 2)].into(),
            ahead: 5,
        };
        assert_eq!(Agreed::read(&agreed.to_document()).unwrap(), agreed);
        assert_eq!(Agreed::read("").unwrap(), Agreed::default());
    }

    #[test]
    fn of_two_keys_the_one_that_was_replaced_more_often_is_the_newer() {
        let name = |name: &str| -> ServerName { name.parse().unwrap() };
        let key = |byte| PublicKey::from_bytes([byte; 32]);
        let with = |keys: &[(&str, u8)]| Agreed {
            keys: keys.iter().map(|(server, byte)| (name(server), key(*byte))).collect(),
            ..Agreed::default()
        };
        let first = Agreed::default();
        let mut second = with(&[("ravena-1", 1), ("tucson-1", 2)]);
        second.count_replacements(&first);
        // `tucson-1` goes back to the key that the topology names.
        let mut third = Agreed { replacements: second.replacements.clone(), ..with(&[("ravena-1", 1)]) };
        third.count_replacements(&second);

        let mut learned = first.clone();
        assert!(learned.learn_keys(&third));
        assert_eq!((&learned.keys, &learned.replacements), (&third.keys, &third.replacements));
        assert!(!learned.learn_keys(&second), "`tucson-1` had the key before");
        assert!(second.learn_keys(&third));
        assert_eq!(second.keys, third.keys);
    }

    #[test]
    fn an_agreement_without_counts_is_read() {
        let text = r#"{"relays":{"generation":0,"pairs":[]},"rotation":null,"keys":{}}"#;
        assert_eq!(Agreed::read(text).unwrap(), Agreed::default());
    }

    #[test]
    fn a_text_that_is_no_agreement_is_refused() {
        let bad_key = r#"{"relays":{"generation":0,"pairs":[]},"rotation":null,"keys":{"ravena-1":"x"}}"#;
        assert!(matches!(Agreed::read(bad_key), Err(AgreedError::Key(_))));
        assert!(matches!(Agreed::read("{"), Err(AgreedError::Form(_))));
    }
}
