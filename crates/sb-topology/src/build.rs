//! Drafts to a topology.

use std::net::{IpAddr, Ipv4Addr};

use crate::check::Drafts;
use crate::documents::{ServerDocument, SiteDocument};
use crate::findings::Placed;
use crate::read::{ServerDraft, SiteDraft};
use crate::{DisabledSite, Server, Site, Topology, render};

/// Makes a topology of drafts. Of drafts with errors it is of use to further checks only: a missing mesh address
/// is then 0.0.0.0.
pub(crate) fn build_topology(drafts: &Drafts) -> Topology {
    let sites = drafts.enabled_sites().map(site).collect();
    let disabled = drafts.sites.iter().flatten().filter(|site| !site.enabled);
    let disabled = disabled.map(|site| DisabledSite { name: site.name.clone(), document: as_written(site) });
    Topology::checked(
        sites,
        disabled.collect(),
        drafts.database.settings.clone(),
        drafts.policy.policy.clone(),
    )
}

fn site(draft: &SiteDraft) -> Site {
    Site {
        name: draft.name.clone(),
        label: draft.label.clone(),
        subnet: draft.subnet.as_ref().map(|subnet| subnet.value),
        mode: draft.mode.as_ref().map(|mode| mode.value).unwrap_or_default(),
        role: draft.role,
        priority: draft.priority.unwrap_or(Site::PRIORITY_DEFAULT),
        servers: draft.servers.iter().map(|server_draft| server(draft, server_draft)).collect(),
    }
}

fn server(site: &SiteDraft, draft: &ServerDraft) -> Server {
    let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    Server {
        name: draft.name.clone(),
        site: site.name.clone(),
        ip: draft.ip.as_ref().map(|ip| ip.value),
        lan_ip: draft.lan_ip.as_ref().map(|ip| ip.value),
        mesh_address: draft.mesh_address.as_ref().map_or(unknown, |ip| ip.value),
        public_key: draft.public_key.as_ref().and_then(|key| key.value.clone().ok()),
        endpoint: draft.endpoint.as_ref().map(|endpoint| endpoint.value.clone()),
        postgres: draft.postgres.clone(),
        voter: draft.voter,
    }
}

/// A site that is not enabled, with the values that could be read.
fn as_written(draft: &SiteDraft) -> SiteDocument {
    let address =
        |ip: &Option<Placed<IpAddr>>| ip.as_ref().map(|ip| ip.value.to_string()).unwrap_or_default();
    let servers = draft.servers.iter().map(|server| ServerDocument {
        wireguard_ip: address(&server.mesh_address),
        ..render::server(&self::server(draft, server))
    });
    SiteDocument {
        ip: address(&draft.ip),
        wireguard_ip: address(&draft.mesh_address),
        enabled: false,
        replication_mode: draft.mode.as_ref().map(|mode| mode.value).unwrap_or_default(),
        role: draft.role,
        name: (draft.label != draft.name.as_str()).then(|| draft.label.clone()),
        subnet: draft.subnet.as_ref().map(|subnet| subnet.value.to_string()),
        priority: draft.priority,
        servers: draft.lists_servers.then(|| servers.collect()),
    }
}
