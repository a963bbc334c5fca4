use std::path::Path;

use sb_topology::{ServerName, SiteName};
use serde::{Deserialize, Serialize};

use crate::state::{IDENTITY_FILE, StateFileError, file};

/// Who a server is: `identity.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Random identifier of the cluster.
    pub cluster_id: String,
    /// The cluster's name, which a person types to confirm a dangerous command.
    pub cluster_name: String,
    /// This server.
    pub server: ServerName,
    /// Its site.
    pub site: SiteName,
    /// Whether this server, alone among all, starts a new store when it has none. Every other one waits to be
    /// taken in.
    pub bootstrap: bool,
}

impl Identity {
    /// Reads `identity.json` from a state directory.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn load(state: &Path) -> Result<Self, StateFileError> {
        file::load(&state.join(IDENTITY_FILE))
    }
}
