//! Sites, servers, networks and policy: the documents an operator writes, checked as a whole.
//!
//! A configuration directory holds `database.json`, `sites.json`, `network.json` and, optionally,
//! `policy.json`. [`load`] reads them and answers with a [`Topology`], which is whole and consistent, or
//! with every [`Problem`] at once. What is written by [`Topology::to_documents`] reads back as the same.
//!
//! Pure but for two places: [`load_dir`] reads a directory and [`mod@write`] replaces files in one. Nothing here
//! resolves a name, opens a connection or makes a key.

pub mod documents;
pub mod write;

mod build;
mod check;
mod database;
mod dsn;
mod durability;
mod findings;
mod json;
mod load;
mod names;
mod nearest;
mod network;
mod policy;
mod problem;
mod read;
mod render;
mod server;
mod site;
mod subnet;
mod topology;
mod voters;

pub use database::{DatabaseSettings, Password};
pub use dsn::{Access, DsnFormat, dsn};
pub use durability::Durability;
pub use load::{DOCUMENT_BYTES_MAX, Documents, Loaded, load, load_dir};
pub use names::{NAME_BYTES_MAX, NameError, ServerName, SiteName};
pub use network::{
    Endpoint, EndpointError, MeshMode, NetworkSettings, Operator, PRIVATE_KEY_MARKER, PublicKey,
    PublicKeyError,
};
pub use policy::{
    BackupPolicy, DurabilityPolicy, EtcdPolicy, EtcdUrl, EtcdUrlError, FailoverPolicy, FailoverProfile,
    FailoverTimings, Failsafe, ListenAddress, ListenAddressError, Policy, RoutingPolicy, StoreKind,
    StorePolicy, TimeOfDay, TimeOfDayError,
};
pub use problem::{Problem, Problems, Severity};
pub use server::{PostgresPlacement, Server};
pub use site::{DisabledSite, ReplicationMode, Site, SiteRole};
pub use subnet::{Subnet, SubnetError};
pub use topology::{DocumentTexts, Topology};
pub use voters::NotAutomatic;
