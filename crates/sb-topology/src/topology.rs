use serde::Serialize;

use crate::documents::{DatabaseDocument, PolicyDocument, SitesDocument};
use crate::load::load_stored;
use crate::{
    DatabaseSettings, DisabledSite, Documents, Durability, NetworkSettings, Password, Policy, Problems,
    Server, ServerName, Site, SiteName, SiteRole, StorePolicy, render,
};

/// The cluster as its operator wants it: whole, consistent, immutable.
///
/// It can only be made by [`crate::load`] and [`Topology::from_json`], which check it. There is exactly one
/// primary site, it has a server with PostgreSQL, and every name and address is used once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    sites: Vec<Site>,
    disabled_sites: Vec<DisabledSite>,
    database: DatabaseSettings,
    policy: Policy,
}

impl Topology {
    /// Takes what has been checked.
    pub(crate) fn checked(
        mut sites: Vec<Site>,
        mut disabled_sites: Vec<DisabledSite>,
        database: DatabaseSettings,
        policy: Policy,
    ) -> Self {
        for site in &mut sites {
            site.servers.sort_by(|a, b| a.name.cmp(&b.name));
        }
        sites.sort_by(|a, b| a.name.cmp(&b.name));
        disabled_sites.sort_by(|a, b| a.name.cmp(&b.name));
        Self { sites, disabled_sites, database, policy }
    }

    /// The enabled sites, sorted by name.
    #[must_use]
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// The sites that take no part yet, sorted by name.
    #[must_use]
    pub fn disabled_sites(&self) -> &[DisabledSite] {
        &self.disabled_sites
    }

    /// How the application reaches its database.
    #[must_use]
    pub fn database(&self) -> &DatabaseSettings {
        &self.database
    }

    /// How the cluster behaves.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The servers of every enabled site, by site, then by name.
    pub fn servers(&self) -> impl Iterator<Item = &Server> + Clone {
        self.sites.iter().flat_map(|site| &site.servers)
    }

    /// The server of this name.
    #[must_use]
    pub fn server(&self, name: &ServerName) -> Option<&Server> {
        self.servers().find(|server| server.name == *name)
    }

    /// The enabled site of this name.
    #[must_use]
    pub fn site(&self, name: &SiteName) -> Option<&Site> {
        self.sites.iter().find(|site| site.name == *name)
    }

    /// The site at which a server stands.
    #[must_use]
    pub fn site_of(&self, server: &ServerName) -> Option<&Site> {
        self.sites.iter().find(|site| site.servers.iter().any(|s| s.name == *server))
    }

    /// The site where the cluster is first started.
    #[must_use]
    pub fn primary_site(&self) -> &Site {
        let found = self.sites.iter().find(|site| site.role == SiteRole::Primary);
        found.expect("a checked topology has one primary site")
    }

    /// The server that is primary when the cluster is first started: the first of the primary site that runs
    /// PostgreSQL.
    #[must_use]
    pub fn initial_primary(&self) -> &Server {
        let found = self.primary_site().servers.iter().find(|s| s.has_postgres());
        found.expect("the primary site of a checked topology has a server with PostgreSQL")
    }

    /// What a confirmed commit promises: the policy's word, else `sync` if an enabled replica site says so,
    /// else `async`.
    #[must_use]
    pub fn durability(&self) -> Durability {
        let by_sites = || {
            let sync = self.sites.iter().any(|site| site.role == SiteRole::Replica && site.is_sync());
            if sync { Durability::Sync } else { Durability::Async }
        };
        self.policy.durability.mode.unwrap_or_else(by_sites)
    }

    /// The servers that may be synchronous standbys: those with PostgreSQL at sites whose mode is `sync`. Who
    /// of them is one depends on where the primary is: by default none of its own site.
    pub fn sync_servers(&self) -> impl Iterator<Item = &Server> + Clone {
        let eligible = self.sites.iter().filter(|site| site.is_sync());
        eligible.flat_map(|site| &site.servers).filter(|server| server.has_postgres())
    }

    /// The same cluster, whose record is reached in another way: where an etcd is, and by which files it is trusted, is
    /// a matter of each server.
    #[must_use]
    pub fn with_store(self, store: StorePolicy) -> Self {
        Self { policy: Policy { store, ..self.policy }, ..self }
    }

    /// The documents that, read again, give this topology and these settings.
    #[must_use]
    pub fn to_documents(&self, network: &NetworkSettings) -> DocumentTexts {
        DocumentTexts {
            database: pretty(&render::database(&self.database)),
            sites: pretty(&render::sites(self)),
            network: pretty(&render::network(network)),
            policy: pretty(&render::policy(&self.policy)),
        }
    }

    /// The whole topology as one JSON document for the replicated store. Passwords are left out.
    #[must_use]
    pub fn to_json(&self) -> String {
        let without_password = DatabaseSettings { password: Password::default(), ..self.database.clone() };
        let stored = StoredDocument {
            database: render::database(&without_password),
            sites: render::sites(self),
            policy: render::policy(&self.policy),
        };
        serde_json::to_string(&stored).expect(SERIALIZABLE)
    }

    /// Reads what [`Topology::to_json`] made, with the same checks as [`crate::load`].
    ///
    /// # Errors
    /// Every problem of the document.
    pub fn from_json(text: &str) -> Result<Self, Problems> {
        load_stored(text)
    }
}

/// A topology as one document.
#[derive(Serialize)]
struct StoredDocument {
    database: DatabaseDocument,
    sites: SitesDocument,
    policy: PolicyDocument,
}

const SERIALIZABLE: &str = "documents have text keys and no fallible values";

fn pretty(document: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(document).expect(SERIALIZABLE);
    text.push('\n');
    text
}

/// The texts of the four documents.
///
/// The text of `database.json` contains the password.
#[derive(Clone, PartialEq, Eq)]
pub struct DocumentTexts {
    /// `database.json`.
    pub database: String,
    /// `sites.json`.
    pub sites: String,
    /// `network.json`.
    pub network: String,
    /// `policy.json`.
    pub policy: String,
}

impl DocumentTexts {
    /// For [`crate::load`].
    #[must_use]
    pub fn as_documents(&self) -> Documents<'_> {
        Documents {
            database: Some(self.database.as_bytes()),
            sites: Some(self.sites.as_bytes()),
            network: Some(self.network.as_bytes()),
            policy: Some(self.policy.as_bytes()),
        }
    }
}
