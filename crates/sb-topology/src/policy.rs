//! `policy.json`: how the cluster behaves. Every value has a default, so the file may be absent.

mod backup;
mod durability;
mod failover;
mod routing;
mod store;

pub use backup::{BackupPolicy, TimeOfDay, TimeOfDayError};
pub use durability::DurabilityPolicy;
pub use failover::{FailoverPolicy, FailoverProfile, FailoverTimings, Failsafe};
pub use routing::{ListenAddress, ListenAddressError, RoutingPolicy};
pub use store::{EtcdPolicy, EtcdUrl, EtcdUrlError, StoreKind, StorePolicy};

/// How the cluster behaves.
///
/// Notifications and maintenance have no settings yet; their objects are read and may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// When and how another server takes over.
    pub failover: FailoverPolicy,
    /// What a confirmed commit promises.
    pub durability: DurabilityPolicy,
    /// When backups are taken and how long they are kept.
    pub backup: BackupPolicy,
    /// Where the cluster's record is kept.
    pub store: StorePolicy,
    /// Where clients find the primary and the standbys.
    pub routing: RoutingPolicy,
}
