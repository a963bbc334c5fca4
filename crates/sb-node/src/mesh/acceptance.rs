//! A server's public key by a person's word, where the server itself cannot tell it.
//!
//! A server that was set up anew has a key that nobody knows, and what proves who it is, its certificate, is shown inside
//! the mesh only. So a person says it: what was agreed on before does not count any more, nor does a replacement of that
//! server's key that it cannot end.

use std::time::{Duration, Instant};

use sb_consensus::Store;
use sb_failover::Request;
use sb_topology::{Server, ServerName};
use sb_wireguard::PublicKey;

use super::agreed::Agreed;
use super::knowledge::Knowledge;
use super::proposer::{ProposalError, Proposer};
use crate::replicated::Replicated;

/// The agreement by which `server` is known by `key`. The topology in force has it as `documented`.
fn accepted(agreed: &Agreed, server: &ServerName, key: PublicKey, documented: Option<PublicKey>) -> Agreed {
    let mut next = agreed.clone();
    next.rotation = next.rotation.filter(|record| record.server != *server);
    if documented == Some(key) {
        next.keys.remove(server);
    } else {
        next.keys.insert(server.clone(), key);
    }
    next
}

impl Knowledge {
    /// What is to be asked of `store` so that all know `server` by `key`; [`None`] when they do.
    ///
    /// # Errors
    /// When this server knows of an agreement that is not of its own store.
    pub(crate) fn acceptance(
        &self,
        store: &Store<Replicated>,
        server: &Server,
        key: PublicKey,
    ) -> Result<Option<Request>, ProposalError> {
        let documented = server.public_key.as_ref().map(PublicKey::from);
        Proposer::new(store.clone(), self.agreed.clone())
            .request(|agreed| Some(accepted(agreed, &server.name, key, documented)))
    }

    /// How long ago `server` was heard last, here or by another server that told of it.
    pub(crate) fn last_heard(&self, server: &ServerName, now: Instant) -> Option<Duration> {
        let words = self.words.borrow();
        let age = |at: Instant| now.saturating_duration_since(at);
        let here = words.get(server).map(|heard| age(heard.at));
        let told = words.values().flat_map(|heard| {
            let of_it = heard.word.reports.iter().filter(|report| report.server == server.as_str());
            of_it.map(move |report| age(heard.at) + Duration::from_millis(report.age_ms))
        });
        here.into_iter().chain(told).min()
    }

    /// Whose key it is at present, other than `server`'s: this server's own, or a peer's of its interface.
    pub(crate) fn other_owner(
        &self,
        key: &PublicKey,
        server: &ServerName,
        own: &ServerName,
    ) -> Option<String> {
        let status = self.status()?;
        let key = key.to_string();
        let own = (status.public_key == key).then(|| own.to_string());
        let peer = || status.peers.into_iter().find(|peer| peer.public_key == key).map(|peer| peer.name);
        own.or_else(peer).filter(|owner| owner != server.as_str())
    }
}

#[cfg(test)]
mod tests {
    use sb_wireguard::rotation::Record;

    use super::*;

    const fn key(byte: u8) -> PublicKey {
        PublicKey::from_bytes([byte; 32])
    }

    fn name(name: &str) -> ServerName {
        name.parse().unwrap()
    }

    #[test]
    fn an_accepted_key_takes_the_place_of_what_was_agreed_and_of_what_went_on() {
        let tucson = name("tucson-1");
        let agreed = Agreed {
            rotation: Some(Record { server: tucson.clone(), old: key(2), new: key(3) }),
            keys: [(tucson.clone(), key(2)), (name("ravena-1"), key(7))].into(),
            ..Agreed::default()
        };
        let next = accepted(&agreed, &tucson, key(4), Some(key(1)));
        assert_eq!(next.keys, [(tucson.clone(), key(4)), (name("ravena-1"), key(7))].into());
        assert_eq!(next.rotation, None);
        let documented = accepted(&agreed, &tucson, key(1), Some(key(1)));
        assert_eq!(documented.keys, [(name("ravena-1"), key(7))].into(), "the topology says so by itself");
    }

    #[test]
    fn the_replacement_of_another_server_s_key_goes_on() {
        let rotation = Some(Record { server: name("ravena-1"), old: key(7), new: key(8) });
        let agreed = Agreed { rotation: rotation.clone(), ..Agreed::default() };
        assert_eq!(accepted(&agreed, &name("tucson-1"), key(4), None).rotation, rotation);
    }
}
