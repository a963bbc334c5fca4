//! Who votes in the store.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Server, ServerName, Site, SiteName, StoreKind, Topology};

/// From this many sites on, each has one voter; below, every server votes.
pub(crate) const SITES_FOR_ONE_VOTER_EACH: usize = 3;

/// Why no server may take over by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum NotAutomatic {
    /// Half of the voters is no majority, so the last one adds a way to fail and no strength.
    #[error("{voters} voters are an even number")]
    EvenVoters {
        /// How many there are.
        voters: usize,
    },
    /// The loss of one site can take the majority away.
    #[error("the voters stand at {sites} of the 3 sites that are needed")]
    FewSites {
        /// How many sites have a voter.
        sites: usize,
    },
}

impl Topology {
    /// The servers that vote in the store; all others are learners.
    ///
    /// From three sites on, one server of each site votes: the first by name that runs PostgreSQL, else the
    /// first witness. Below three sites every server votes. `voter` of a server overrides the rule: `false`
    /// excludes it, `true` takes the site's vote (several `true` in one site all vote).
    #[must_use]
    pub fn voters(&self) -> BTreeSet<ServerName> {
        self.voters_without(&BTreeSet::new())
    }

    /// The servers that vote while those of `gone` are out: where a site's voter is among them, the next one of the
    /// site by the same rule.
    #[must_use]
    pub fn voters_without(&self, gone: &BTreeSet<ServerName>) -> BTreeSet<ServerName> {
        let one_each = self.sites().len() >= SITES_FOR_ONE_VOTER_EACH;
        let voters = self.sites().iter().flat_map(|site| site_voters(site, one_each, gone));
        voters.map(|server| server.name.clone()).collect()
    }

    /// The sites that have a voter: what can fail together counts once.
    #[must_use]
    pub fn failure_domains(&self) -> BTreeSet<SiteName> {
        let voters = self.voters();
        self.servers().filter(|s| voters.contains(&s.name)).map(|s| s.site.clone()).collect()
    }

    /// Whether a server may take over by itself here. Where etcd keeps the record, its own quorum tells a lost site from
    /// a lost line, and the servers may stand at two sites.
    ///
    /// # Errors
    /// Why not: an even number of voters, or fewer than three sites with one.
    pub fn automatic_failover(&self) -> Result<(), NotAutomatic> {
        let (voters, sites) = (self.voters().len(), self.failure_domains().len());
        if self.policy().store.kind() == StoreKind::Etcd {
            Ok(())
        } else if sites < SITES_FOR_ONE_VOTER_EACH {
            Err(NotAutomatic::FewSites { sites })
        } else if voters.is_multiple_of(2) {
            Err(NotAutomatic::EvenVoters { voters })
        } else {
            Ok(())
        }
    }
}

fn site_voters<'a>(site: &'a Site, one_each: bool, gone: &BTreeSet<ServerName>) -> Vec<&'a Server> {
    let there = || site.servers.iter().filter(|server| !gone.contains(&server.name));
    let chosen: Vec<_> = there().filter(|s| s.voter == Some(true)).collect();
    let allowed: Vec<_> = there().filter(|s| s.voter != Some(false)).collect();
    match (one_each, chosen.is_empty()) {
        (true, false) => chosen,
        (true, true) => {
            let with_postgres = allowed.iter().find(|s| s.has_postgres());
            with_postgres.or(allowed.first()).map(|s| vec![*s]).unwrap_or_default()
        }
        (false, _) => allowed,
    }
}
