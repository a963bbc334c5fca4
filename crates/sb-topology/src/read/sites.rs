use std::net::IpAddr;
use std::path::PathBuf;

use super::{KeyDraft, read_key};
use crate::findings::{Findings, Place, Placed, shown};
use crate::json::{Node, Object};
use crate::{Endpoint, PostgresPlacement, ReplicationMode, ServerName, SiteName, SiteRole, Subnet};

/// One entry of `sites.json` as read.
pub(crate) struct SiteDraft {
    pub(crate) name: SiteName,
    pub(crate) place: Place,
    pub(crate) label: String,
    pub(crate) ip: Option<Placed<IpAddr>>,
    pub(crate) mesh_address: Option<Placed<IpAddr>>,
    pub(crate) enabled: bool,
    pub(crate) mode: Option<Placed<ReplicationMode>>,
    pub(crate) role: SiteRole,
    pub(crate) priority: Option<u16>,
    pub(crate) subnet: Option<Placed<Subnet>>,
    /// Whether `servers` is given; if not, there is one draft made of the site's own values.
    pub(crate) lists_servers: bool,
    pub(crate) servers: Vec<ServerDraft>,
}

/// One server as read.
pub(crate) struct ServerDraft {
    pub(crate) name: ServerName,
    pub(crate) place: Place,
    pub(crate) ip: Option<Placed<IpAddr>>,
    pub(crate) lan_ip: Option<Placed<IpAddr>>,
    pub(crate) mesh_address: Option<Placed<IpAddr>>,
    pub(crate) public_key: Option<KeyDraft>,
    pub(crate) endpoint: Option<Placed<Endpoint>>,
    pub(crate) postgres: PostgresPlacement,
    /// Where `postgres` stands, or the server.
    pub(crate) postgres_place: Place,
    pub(crate) voter: Option<bool>,
}

const MODES: [(&str, ReplicationMode); 3] = [
    ("async", ReplicationMode::Async),
    ("sync", ReplicationMode::Sync),
    ("logical", ReplicationMode::Logical),
];

const ROLES: [(&str, SiteRole); 2] = [("primary", SiteRole::Primary), ("replica", SiteRole::Replica)];

const NAME_RULE: &str = "Lower-case letters, digits and inner hyphens, at most 63 bytes.";

/// Reads `sites.json`. Entries whose name cannot be used are reported and left out.
pub(crate) fn read_sites(root: &Node<'_>, findings: &mut Findings) -> Option<Vec<SiteDraft>> {
    let members = root.object(findings)?.into_members();
    Some(members.iter().filter_map(|(key, node)| read_site(key, node, findings)).collect())
}

fn read_site(key: &str, node: &Node<'_>, findings: &mut Findings) -> Option<SiteDraft> {
    if !node.is_object() {
        findings
            .error(&node.place, "site.form", format!("{} is not a site", shown(key)))
            .hint("Nothing but sites stands at the top level of `sites.json`, each of them an object.");
        return None;
    }
    let name = site_name(key, &node.place, findings);
    let mut object = node.object(findings)?;
    let ip = object.optional("ip").and_then(|node| node.parsed(findings));
    let mesh_address = object.optional("wireguardIp").and_then(|node| node.parsed(findings));
    // A site whose flag cannot be read is checked like one that takes part.
    let enabled = object.optional("enabled").is_some_and(|node| node.flag(findings).unwrap_or(true));
    let mode = object.optional("replicationMode").and_then(|node| {
        node.word(&MODES, findings).map(|value| Placed { value, place: node.place.clone() })
    });
    let role = object.optional("role").and_then(|node| node.word(&ROLES, findings)).unwrap_or_default();
    let label = object.optional("name").and_then(|node| node.text(findings)).map_or("", |text| text.value);
    let subnet = object.optional("subnet").and_then(|node| node.parsed(findings));
    let priority = object.optional("priority").and_then(|node| node.integer(0..=u16::MAX, findings));
    let listed = object.optional("servers").map(|node| read_servers(&node, findings));
    object.finish(findings);
    let name = name?;
    let label = if label.is_empty() { name.to_string() } else { label.to_owned() };
    let lists_servers = listed.is_some();
    let servers = listed.unwrap_or_else(|| {
        let alone = sole_server(&name, &node.place, ip.clone(), mesh_address.clone(), findings);
        alone.into_iter().collect()
    });
    let place = node.place.clone();
    Some(SiteDraft {
        name,
        place,
        label,
        ip,
        mesh_address,
        enabled,
        mode,
        role,
        priority,
        subnet,
        lists_servers,
        servers,
    })
}

fn site_name(key: &str, place: &Place, findings: &mut Findings) -> Option<SiteName> {
    let name = SiteName::new(key);
    if name.is_err() {
        let error = findings
            .error(place, "site.name", format!("{} cannot name a site", shown(key)))
            .detail(NAME_RULE);
        if let Some(meant) = usable_name(key) {
            error.hint(format!("Use `{meant}`."));
        }
    }
    name.ok()
}

/// A name like `key` that can be used, if there is one.
fn usable_name(key: &str) -> Option<SiteName> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let lower_case = key.to_lowercase();
    let letters = lower_case.chars().take(crate::NAME_BYTES_MAX).map(|c| if good(c) { c } else { '-' });
    SiteName::new(letters.collect::<String>().trim_matches('-')).ok()
}

/// The server of a site that lists none: `<site>-1` with the site's own addresses.
fn sole_server(
    site: &SiteName,
    place: &Place,
    ip: Option<Placed<IpAddr>>,
    mesh_address: Option<Placed<IpAddr>>,
    findings: &mut Findings,
) -> Option<ServerDraft> {
    let Ok(name) = ServerName::new(format!("{site}-1")) else {
        findings
            .error(
                place,
                "server.name",
                format!("the name of site `{site}` is too long for a server `{site}-1`"),
            )
            .hint("List the site's servers under `servers`, each with a shorter `name`.");
        return None;
    };
    Some(ServerDraft {
        name,
        place: place.clone(),
        ip,
        lan_ip: None,
        mesh_address,
        public_key: None,
        endpoint: None,
        postgres: PostgresPlacement::default(),
        postgres_place: place.clone(),
        voter: None,
    })
}

fn read_servers(node: &Node<'_>, findings: &mut Findings) -> Vec<ServerDraft> {
    let nodes = node.list(findings).unwrap_or_default();
    nodes.iter().filter_map(|node| read_server(node, findings)).collect()
}

fn read_server(node: &Node<'_>, findings: &mut Findings) -> Option<ServerDraft> {
    let mut object = node.object(findings)?;
    let name = read_server_name(&mut object, findings);
    let ip = object.optional("ip").and_then(|node| node.parsed(findings));
    let mesh_address = object.optional("wireguardIp").and_then(|node| node.parsed(findings));
    let lan_ip = object.optional("lanIp").and_then(|node| node.parsed(findings));
    let public_key = object.optional("publicKey").and_then(|node| read_key(&node, findings));
    let endpoint = object.optional("endpoint").and_then(|node| node.parsed(findings));
    let postgres = object.optional("postgres");
    let postgres_place = postgres.as_ref().map_or(&node.place, |node| &node.place).clone();
    let postgres = postgres.map(|node| read_postgres(&node, findings)).unwrap_or_default();
    let voter = object.optional("voter").and_then(|node| node.flag(findings));
    object.finish(findings);
    let place = node.place.clone();
    let name = name?;
    Some(ServerDraft {
        name,
        place,
        ip,
        lan_ip,
        mesh_address,
        public_key,
        endpoint,
        postgres,
        postgres_place,
        voter,
    })
}

fn read_server_name(object: &mut Object<'_>, findings: &mut Findings) -> Option<ServerName> {
    let text = object.required("name", findings)?.text(findings)?;
    let name = ServerName::new(text.value);
    if name.is_err() {
        let error = findings
            .error(&text.place, "server.name", format!("{} cannot name a server", shown(text.value)))
            .detail(NAME_RULE);
        if let Some(meant) = usable_name(text.value) {
            error.hint(format!("Use `{meant}`."));
        }
    }
    name.ok()
}

fn read_postgres(node: &Node<'_>, findings: &mut Findings) -> PostgresPlacement {
    if node.is_flag() {
        let here = node.flag(findings).unwrap_or(true);
        return if here { PostgresPlacement::default() } else { PostgresPlacement::Nowhere };
    }
    let Some(mut object) = node.object(findings) else { return PostgresPlacement::default() };
    let port = object.optional("port").and_then(|node| node.integer(1..=u16::MAX, findings));
    let data_dir = object.optional("dataDir").and_then(|node| read_data_dir(&node, findings));
    object.finish(findings);
    PostgresPlacement::Here { port: port.unwrap_or(PostgresPlacement::PORT_DEFAULT), data_dir }
}

fn read_data_dir(node: &Node<'_>, findings: &mut Findings) -> Option<PathBuf> {
    let text = node.text(findings).filter(|text| !text.value.is_empty())?;
    if !text.value.starts_with('/') {
        findings
            .error(&text.place, "postgres.data_dir", format!("{} is not an absolute path", shown(text.value)))
            .hint("Begin the path with `/`, or leave `dataDir` out for the agent's own directory.");
        return None;
    }
    Some(PathBuf::from(text.value))
}
