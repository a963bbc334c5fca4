use std::marker::PhantomData;

use crate::{StateMachine, Store};

/// The memory backend: one state machine, shared by the handles of one process. For tests.
pub struct MemoryStore<S> {
    machine: PhantomData<fn() -> S>,
}

impl<S: StateMachine> MemoryStore<S> {
    /// A group with one voter of this name.
    #[must_use]
    pub fn single(_name: &str, _machine: S) -> Store<S> {
        todo!()
    }
}
