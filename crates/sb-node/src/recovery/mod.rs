//! Going on although the majority of the store is lost for good: a person's decision, carried out between two runs of
//! the agent, because the store's directory has one owner.
//!
//! `assessment` judges what can be seen (pure), the API writes an [`Intent`] and ends the agent, `carry_out` does it at
//! the next start, and `branch` brings the other survivors over and keeps servers that were given up out.

pub mod assessment;
pub mod branch;
mod carry_out;
mod wire;

use std::time::Duration;

use sb_failover::ClusterRecord;
use sb_failover::record::Recovery;
use serde::{Deserialize, Serialize};

use crate::persisted::{self, Memory, RememberError};
use crate::{Layout, machine_config};

pub use carry_out::carry_out;
pub use wire::{from_wire, to_wire};

/// What a person has asked for and the next start of the agent is to do. It is withdrawn when it has become wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The member of the store that is to go on: another one there means that it has been done.
    pub member: u64,
    /// The generation of the store that it is a member of.
    pub generation: u64,
    /// How long the last lease may hold at most, counted from the start that carries the intent out.
    pub wait_ms: u64,
    /// The first entry of the new store.
    pub recovery: Recovery,
}

impl Intent {
    /// The intent that is there, if one is.
    ///
    /// # Errors
    /// When it cannot be read: then nobody may guess what a person has decided.
    pub fn read(layout: &Layout) -> Result<Option<Self>, RememberError> {
        persisted::read(&layout.recovery_file())
    }

    /// Makes it durable.
    ///
    /// # Errors
    /// When it cannot be written; then there is none.
    pub fn write(&self, layout: &Layout) -> Result<(), RememberError> {
        persisted::replace(&layout.recovery_file(), self)
    }

    /// Takes it away: it was carried out, or is withdrawn.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(layout: &Layout) -> Result<(), RememberError> {
        persisted::remove(&layout.recovery_file())
    }
}

/// How long to wait before the last lease has certainly ended, whoever renewed it last.
///
/// This replica may lag: the holder may have made its lease as long as the times allow, and may have been promised that
/// nobody takes over for longer still.
pub fn longest_lease(record: &ClusterRecord, topology: &sb_topology::Topology, memory: &Memory) -> Duration {
    let policy = machine_config::timings(topology).ttl_ms_max;
    let lease = record.lease.as_ref().map_or(0, |lease| lease.ttl_ms);
    let longest = policy.max(record.timings.ttl_ms_max).max(lease);
    let promised = memory.recall().ok().and_then(|stored| stored.failsafe).map(|promise| promise.wait);
    record.timings.wait(longest).max(promised.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_is_there_until_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().into(), dir.path().into(), dir.path().into());
        assert_eq!(Intent::read(&layout).unwrap(), None);
        let recovery = Recovery {
            id: 7,
            server: "tucson-1".parse().unwrap(),
            given_up: ["ravena-1".parse().unwrap()].into(),
            accept_data_loss_bytes: 48,
            by: "root".into(),
        };
        let intent = Intent { member: u64::MAX, generation: 0, wait_ms: 10, recovery };
        intent.write(&layout).unwrap();
        assert_eq!(Intent::read(&layout).unwrap(), Some(intent));
        Intent::remove(&layout).unwrap();
        Intent::remove(&layout).unwrap();
        assert_eq!(Intent::read(&layout).unwrap(), None);
        std::fs::write(layout.recovery_file(), "{").unwrap();
        assert!(Intent::read(&layout).is_err(), "a damaged decision is not taken for none");
    }

    #[test]
    fn the_wait_covers_the_longest_lease_that_a_holder_may_have_chosen_unseen() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().into(), dir.path().into(), dir.path().into());
        let record = ClusterRecord::default();
        let example = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/show-build");
        let topology = sb_topology::load_dir(&example).unwrap().topology;
        let reserve = crate::reserve::Reserve::open(layout.reserve_file());
        let wait = longest_lease(&record, &topology, &Memory::new(&layout, reserve));
        assert!(wait >= Duration::from_millis(record.timings.ttl_ms_max));
    }
}
