use crate::documents::SiteDocument;
use crate::{Server, SiteName, Subnet};

/// One place with servers: an enabled entry of `sites.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Its key.
    pub name: SiteName,
    /// Its name for people, such as "Burlington, VT"; the key when none is given.
    pub label: String,
    /// The network of the mesh addresses of this site's servers, when it is given. It is not the site's local
    /// network, and nothing but these servers' addresses is routed for it.
    pub subnet: Option<Subnet>,
    /// Whether its servers may be synchronous standbys.
    pub mode: ReplicationMode,
    /// What it is when the cluster is first started.
    pub role: SiteRole,
    /// Preference when another site must take over: the smallest number first.
    pub priority: u16,
    /// Sorted by name; never empty.
    pub servers: Vec<Server>,
}

impl Site {
    /// The priority of a site that names none.
    pub const PRIORITY_DEFAULT: u16 = 100;

    /// Whether its servers may be synchronous standbys.
    #[must_use]
    pub fn is_sync(&self) -> bool {
        self.mode == ReplicationMode::Sync
    }
}

/// A site that is not part of the cluster yet (`enabled` is false): kept as written, since it may be incomplete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisabledSite {
    /// Its key.
    pub name: SiteName,
    /// What `sites.json` says of it.
    pub document: SiteDocument,
}

/// `replicationMode` of a site.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ReplicationMode {
    /// Commits do not wait for this site's servers.
    #[default]
    Async,
    /// Commits may wait for this site's servers.
    Sync,
    /// Logical replication; accepted with a warning and treated as `async` until it is built.
    Logical,
}

/// `role` of a site: where the cluster is first started. Afterwards the lease says who is primary.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum SiteRole {
    /// The first primary stands here; exactly one enabled site says so.
    Primary,
    /// Follows.
    #[default]
    Replica,
}
