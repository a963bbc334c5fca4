use super::identity::Identity;
use super::peer::Peer;
use super::{Engine, Moment, Outbox, PeerId};
use crate::{AddressesChange, Change, PeerChange, PeerScope, PrivateKey, PublicKey};

/// Peers of one interface.
const PEERS_MAX: usize = 1024;
/// A receiver index is 24 bits; the 8 below count sessions.
const INDEX_MASK: u32 = 0x00ff_ffff;

/// One more peer was wanted than an interface may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an interface has at most {PEERS_MAX} peers")]
pub struct TooManyPeers;

impl Engine {
    /// Carries a change out. Port and mark are the sockets', not the engine's: they have no effect here.
    ///
    /// # Errors
    /// When there would be too many peers; the change has no effect then.
    pub fn apply(&mut self, change: &Change, now: Moment, out: &mut Outbox) -> Result<(), TooManyPeers> {
        match change {
            Change::PrivateKey(key) => self.set_private_key(key.as_ref()),
            Change::RemoveAllPeers => {
                for key in self.by_key.keys().copied().collect::<Vec<_>>() {
                    self.remove(&key);
                }
            }
            Change::RemovePeer(key) => self.remove(key),
            Change::Peer(change) => self.change_peer(change)?,
            Change::ListenPort(_) | Change::FirewallMark(_) => return Ok(()),
        }
        // A keepalive that was just asked for is sent now.
        self.next_tick = now.boot;
        self.on_timer(now, out);
        Ok(())
    }

    fn set_private_key(&mut self, key: Option<&PrivateKey>) {
        let same = match (self.private_key(), key) {
            (Some(old), Some(new)) => old.expose_bytes() == new.expose_bytes(),
            (None, None) => true,
            _ => false,
        };
        if same {
            return;
        }
        self.identity = key.cloned().map(Identity::new);
        for id in 0..self.peers.len() {
            let index = self.free_index();
            if let Some(peer) = &mut self.peers[id] {
                peer.identify(self.identity.as_ref(), index);
            }
            self.index(id);
        }
    }

    fn remove(&mut self, key: &PublicKey) {
        let Some(id) = self.by_key.remove(key) else { return };
        self.routes.take_all(id);
        self.peers[id] = None;
        self.index(id);
    }

    fn change_peer(&mut self, change: &PeerChange) -> Result<(), TooManyPeers> {
        let Some(id) = self.find_or_make(change)? else { return Ok(()) };
        let index = self.free_index();
        let Some(peer) = &mut self.peers[id] else { return Ok(()) };
        if let Some(key) = change.preshared_key.as_ref().filter(|key| **key != peer.preshared_key) {
            peer.preshared_key.clone_from(key);
            if let Some(identity) = self.identity.as_ref().filter(|own| own.public_key != peer.public_key) {
                peer.stage_preshared_key(identity, index);
            }
        }
        if let Some(endpoint) = change.endpoint {
            peer.endpoint = Some(endpoint);
        }
        if let Some(seconds) = change.keepalive_seconds {
            if peer.keepalive_seconds == 0 && seconds > 0 {
                peer.hasten_keepalive();
            }
            peer.keepalive_seconds = seconds;
        }
        self.index(id);
        if let Some(addresses) = &change.addresses {
            self.change_addresses(id, addresses);
        }
        Ok(())
    }

    fn find_or_make(&mut self, change: &PeerChange) -> Result<Option<PeerId>, TooManyPeers> {
        if let Some(id) = self.by_key.get(&change.public_key) {
            return Ok(Some(*id));
        }
        if change.scope == PeerScope::OnlyIfPresent {
            return Ok(None);
        }
        if self.by_key.len() >= PEERS_MAX {
            return Err(TooManyPeers);
        }
        let mut peer = Peer::new(change.public_key);
        peer.identify(self.identity.as_ref(), self.free_index());
        let id = self.peers.iter().position(Option::is_none).unwrap_or(self.peers.len());
        if id == self.peers.len() {
            self.peers.push(None);
        }
        self.peers[id] = Some(peer);
        self.by_key.insert(change.public_key, id);
        self.index(id);
        Ok(Some(id))
    }

    fn change_addresses(&mut self, id: PeerId, change: &AddressesChange) {
        match change {
            AddressesChange::Replace(ranges) => {
                self.routes.take_all(id);
                ranges.iter().for_each(|range| self.routes.give(*range, id));
            }
            AddressesChange::Alter { more, less } => {
                less.iter().for_each(|range| self.routes.take(*range, id));
                more.iter().for_each(|range| self.routes.give(*range, id));
            }
        }
    }

    /// Chosen at random, so that it says nothing about the number of peers or their order.
    fn free_index(&self) -> u32 {
        loop {
            let index = rand::random::<u32>() & INDEX_MASK;
            if !self.by_index.contains_key(&index) {
                return index;
            }
        }
    }
}
