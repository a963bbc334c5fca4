//! The embedded Raft backend: one directory, one thread, two connections to each peer.

mod config;

use std::marker::PhantomData;
use std::sync::Arc;

use crate::{Connector, OpenError, StateMachine, Store};

pub use config::{ConfigError, FatalDiskError, OnFatalDisk, RaftConfig, Timings};

/// Opens stores on embedded Raft. Both ways must be called within a tokio runtime.
pub struct RaftStore<S> {
    machine: PhantomData<fn() -> S>,
}

impl<S: StateMachine> RaftStore<S> {
    /// Starts a new group whose only voter is this server. Done once in the life of a group, on one server,
    /// explicitly.
    ///
    /// # Errors
    ///
    /// [`OpenError::AlreadyBootstrapped`] when the directory holds a log.
    pub fn bootstrap(
        _config: RaftConfig,
        _machine: S,
        _connector: Arc<dyn Connector>,
    ) -> Result<Store<S>, OpenError> {
        todo!()
    }

    /// Opens an existing directory, or begins an empty one.
    ///
    /// In an empty one this server is no member: it never campaigns or votes and has no state until a leader adds it
    /// with [`Store::add_learner`] under [`Store::member`]'s id.
    ///
    /// # Errors
    ///
    /// [`OpenError::Corrupt`] when what is on disk cannot be trusted.
    pub fn open(
        _config: RaftConfig,
        _machine: S,
        _connector: Arc<dyn Connector>,
    ) -> Result<Store<S>, OpenError> {
        todo!()
    }
}
