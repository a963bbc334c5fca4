//! What the interface should be, by the documents and by what is agreed.

use std::sync::Arc;

use sb_topology::{NetworkSettings, ServerName, Topology};
use sb_wireguard::rotation::follow;
use sb_wireguard::{DesiredError, DesiredInterface, Keyring, ObservedInterface, PublicKey};

use super::agreed::Agreed;

/// What the documents make of an agreement and of the key that the others know this server by.
pub(super) type Documents =
    Box<dyn Fn(&Agreed, &PublicKey) -> Result<DesiredInterface, DesiredError> + Send + Sync>;

/// The documents of one server.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    topology: Arc<Topology>,
    settings: NetworkSettings,
    own: ServerName,
}

impl Wanted {
    pub(super) fn new(topology: &Topology, settings: &NetworkSettings, own: &ServerName) -> Self {
        Self { topology: Arc::new(topology.clone()), settings: settings.clone(), own: own.clone() }
    }

    /// The server's key in the topology.
    pub(super) fn documented_key(&self) -> Option<PublicKey> {
        self.topology.server(&self.own)?.public_key.as_ref().map(PublicKey::from)
    }

    /// How many other servers there are.
    pub(super) fn others(&self) -> usize {
        self.topology.servers().filter(|server| server.name != self.own).count()
    }

    /// The interface by the documents, with the keys that took the place of theirs. The others know this server by
    /// `known_by`.
    ///
    /// # Errors
    /// When the documents cannot be followed.
    pub(super) fn by_documents(
        &self,
        agreed: &Agreed,
        known_by: &PublicKey,
    ) -> Result<DesiredInterface, DesiredError> {
        let keyring = Keyring { replaced: agreed.keys.clone(), ..Keyring::default() };
        DesiredInterface::new(&self.topology, &self.settings, &self.own, known_by, &keyring)
    }

    /// The interface by the documents alone, under the key that this server has, whatever they say of it.
    ///
    /// # Errors
    /// When they cannot be followed in anything else.
    pub(super) fn with_the_key(&self, key: &PublicKey) -> Result<DesiredInterface, DesiredError> {
        let replaced = [(self.own.clone(), *key)].into();
        let keyring = Keyring { replaced, ..Keyring::default() };
        DesiredInterface::new(&self.topology, &self.settings, &self.own, key, &keyring)
    }
}

/// What is agreed beyond keys that have been replaced, put into an interface that is `observed` to be so.
pub(super) fn agreed_on(desired: &mut DesiredInterface, agreed: &Agreed, observed: &ObservedInterface) {
    // Relays first: while a key is being replaced its server is two peers.
    agreed.relays.apply(desired);
    match &agreed.rotation {
        Some(record) if record.server != desired.server => follow(record, desired, observed),
        Some(_) | None => {}
    }
}
