use sb_topology::SiteName;
use serde::{Deserialize, Serialize};

use crate::Incarnation;

/// A server as it registered itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Which life of its store it is in; claims under another one are refused.
    pub incarnation: Incarnation,
    /// Where it stands.
    pub site: SiteName,
    /// Its site's rank among candidates: smaller is preferred.
    pub priority: u32,
    /// Whether it has PostgreSQL and may become primary (a witness may not).
    pub promotable: bool,
    /// Whether a commit may wait for it (`replicationMode: sync`).
    pub sync_eligible: bool,
}
