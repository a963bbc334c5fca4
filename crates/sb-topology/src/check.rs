//! What has to hold between the values of the documents.

mod addresses;
mod cluster;
mod database;
mod keys;
mod sites;
mod timings;

use crate::Severity;
use crate::findings::Findings;
use crate::read::{DatabaseDraft, NetworkDraft, PolicyDraft, ServerDraft, SiteDraft};

pub(crate) use cluster::check_cluster;

/// Everything that was read.
pub(crate) struct Drafts {
    pub(crate) database: DatabaseDraft,
    /// [`None`] when `sites.json` could not be read at all.
    pub(crate) sites: Option<Vec<SiteDraft>>,
    pub(crate) network: NetworkDraft,
    pub(crate) policy: PolicyDraft,
}

impl Drafts {
    pub(crate) fn enabled_sites(&self) -> impl Iterator<Item = &SiteDraft> + Clone {
        enabled(self.sites.as_deref().unwrap_or_default())
    }

    pub(crate) fn servers(&self) -> impl Iterator<Item = &ServerDraft> + Clone {
        self.enabled_sites().flat_map(|site| &site.servers)
    }

    /// How bad it is to leave something as the application's setup page makes it on one machine: a mesh of
    /// several sites cannot work with it.
    fn severity_in_mesh(&self) -> Severity {
        if self.enabled_sites().count() > 1 { Severity::Error } else { Severity::Warning }
    }
}

/// The sites that take part.
fn enabled(sites: &[SiteDraft]) -> impl Iterator<Item = &SiteDraft> + Clone {
    sites.iter().filter(|site| site.enabled)
}

/// Checks what can be seen from the drafts.
pub(crate) fn check_drafts(drafts: &Drafts, findings: &mut Findings) {
    if let Some(sites) = &drafts.sites {
        sites::check(sites, findings);
    }
    addresses::check(drafts, findings);
    keys::check(drafts, findings);
    database::check(drafts, findings);
    timings::check(&drafts.policy, findings);
}
