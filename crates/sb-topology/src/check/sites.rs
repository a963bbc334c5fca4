use std::collections::BTreeMap;

use super::enabled;
use crate::findings::{Findings, Place};
use crate::read::SiteDraft;
use crate::{PostgresPlacement, ReplicationMode, ServerName, SiteRole};

/// Most servers of a cluster.
const SERVERS_MAX: usize = 32;

/// TCP ports on the mesh address that the agent itself uses.
const AGENT_PORTS: [(u16, &str); 5] = [
    (53, "DNS"),
    (7432, "agents"),
    (8008, "health"),
    (8009, "HAProxy's agent check"),
    (8080, "API and pages"),
];

pub(super) fn check(sites: &[SiteDraft], findings: &mut Findings) {
    check_roles(sites, findings);
    check_names(sites, findings);
    for site in enabled(sites) {
        check_mode(site, findings);
        check_servers(site, findings);
    }
    if let Some(one_more) = enabled(sites).flat_map(|site| &site.servers).nth(SERVERS_MAX) {
        findings
            .error(&one_more.place, "servers.too_many", "there are too many servers")
            .detail(format!("A cluster has at most {SERVERS_MAX}."));
    }
}

fn check_roles(sites: &[SiteDraft], findings: &mut Findings) {
    let document = Place { file: crate::load::SITES, pointer: String::new(), line: 1 };
    let mut primaries = enabled(sites).filter(|site| site.role == SiteRole::Primary);
    let first = primaries.next();
    for site in primaries {
        let first = first.map_or("", |site| site.name.as_str());
        findings
            .error(&site.place, "site.primary.twice", format!("site `{}` is a second primary", site.name))
            .detail(format!("Site `{first}` is the primary already."))
            .hint("Leave `\"role\": \"primary\"` with the site where the cluster is first started.");
    }
    if enabled(sites).next().is_none() {
        findings
            .error(&document, "site.none_enabled", "no site is enabled")
            .hint("Set `\"enabled\": true` for the sites that take part.");
    } else if first.is_none() && !enabled(sites).any(|site| findings.concern(&site.place, "role")) {
        findings
            .error(&document, "site.primary.none", "no enabled site is the primary")
            .hint("Set `\"role\": \"primary\"` for the site where the cluster is first started.");
    }
    if let Some(site) =
        first.filter(|site| site.servers.iter().all(|s| s.postgres == PostgresPlacement::Nowhere))
    {
        findings
            .error(
                &site.place,
                "site.primary.no_postgres",
                format!("no server of primary site `{}` runs PostgreSQL", site.name),
            )
            .hint("Take `\"postgres\": false` away from one of its servers.");
    }
}

fn check_names(sites: &[SiteDraft], findings: &mut Findings) {
    let mut seen: BTreeMap<&ServerName, &Place> = BTreeMap::new();
    for server in enabled(sites).flat_map(|site| &site.servers) {
        if let Some(first) = seen.get(&server.name) {
            findings
                .error(
                    &server.place,
                    "server.name.twice",
                    format!("the name `{}` is given to two servers", server.name),
                )
                .detail(format!("The first one is {} on line {}.", first.pointer, first.line));
        } else {
            seen.insert(&server.name, &server.place);
        }
    }
}

fn check_mode(site: &SiteDraft, findings: &mut Findings) {
    match &site.mode {
        Some(mode) if mode.value == ReplicationMode::Logical => {
            findings
                .warning(&mode.place, "site.mode.logical", "logical replication is not built yet")
                .detail(format!("Site `{}` is treated as `async`.", site.name));
        }
        None if site.role == SiteRole::Primary && !findings.concern(&site.place, "replicationMode") => {
            findings
                .warning(
                    &site.place,
                    "site.mode.missing",
                    format!("primary site `{}` has no `replicationMode`", site.name),
                )
                .detail("It is treated as `async` while another site is primary.")
                .hint("Set `\"replicationMode\": \"sync\"` if commits may wait for its servers then, else `async`.");
        }
        Some(_) | None => {}
    }
}

fn check_servers(site: &SiteDraft, findings: &mut Findings) {
    if site.lists_servers && site.servers.is_empty() {
        findings
            .error(&site.place, "site.no_servers", format!("site `{}` has no servers", site.name))
            .hint("Leave `servers` out for one server with the site's own addresses.");
    }
    for server in &site.servers {
        let Some(port) = server.postgres.port() else { continue };
        let Some((_, user)) = AGENT_PORTS.iter().find(|(taken, _)| *taken == port) else { continue };
        findings
            .error(
                &server.postgres_place,
                "postgres.port.taken",
                format!("PostgreSQL of `{}` cannot use port {port}", server.name),
            )
            .detail(format!("The agent uses it for {user}."))
            .hint("Use 5432, or any other port that is free.");
    }
}
