use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Drafts;
use crate::findings::{Findings, Place, Placed};
use crate::read::{ServerDraft, SiteDraft};

pub(super) fn check(drafts: &Drafts, findings: &mut Findings) {
    for site in drafts.enabled_sites() {
        check_site_addresses(site, findings);
        for server in &site.servers {
            check_mesh_address(drafts, site, server, findings);
            check_reachable(drafts, server, findings);
        }
    }
    check_lan_addresses(drafts, findings);
    check_used_once(drafts, findings);
    check_operators(drafts, findings);
    check_endpoints(drafts, findings);
    check_overlaps(drafts, findings);
}

/// With `servers`, the application still reads the site's own two addresses.
fn check_site_addresses(site: &SiteDraft, findings: &mut Findings) {
    if !site.lists_servers || site.servers.is_empty() {
        return;
    }
    let mut check = |key: &str, address: &Option<Placed<IpAddr>>, of: fn(&ServerDraft) -> Option<IpAddr>| {
        let Some(address) = address else { return };
        if !site.servers.iter().any(|server| of(server) == Some(address.value)) {
            findings
                .error(
                    &address.place,
                    "site.address.foreign",
                    format!("`{key}` of site `{}` is not that of one of its servers", site.name),
                )
                .detail(format!("No entry of `servers` has {}.", address.value))
                .hint(format!("Use the first server's `{key}`, or leave the key out."));
        }
    };
    check("ip", &site.ip, |server| server.ip.as_ref().map(|ip| ip.value));
    check("wireguardIp", &site.mesh_address, |server| server.mesh_address.as_ref().map(|ip| ip.value));
}

fn check_mesh_address(drafts: &Drafts, site: &SiteDraft, server: &ServerDraft, findings: &mut Findings) {
    let Some(Placed { value: address, place }) = &server.mesh_address else {
        if findings.concern(&server.place, "wireguardIp") {
            return;
        }
        findings
            .error(
                &server.place,
                "server.mesh_address.missing",
                format!("server `{}` has no mesh address", server.name),
            )
            .hint("Set `wireguardIp` to an address of its own, such as 10.0.1.1.");
        return;
    };
    if address.is_unspecified() || address.is_multicast() || *address == IpAddr::from([255; 4]) {
        findings.error(
            place,
            "server.mesh_address.kind",
            format!("mesh address {address} of `{}` is not the address of one machine", server.name),
        );
    } else if is_public(*address) {
        let message = format!("mesh address {address} of `{}` is a public address", server.name);
        findings
            .report(drafts.severity_in_mesh(), place, "server.mesh_address.public", message)
            .detail("PostgreSQL listens on it, so its port would be reachable from outside the mesh.")
            .hint("Use a private address (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fd00::/8).");
    }
    if let Some(subnet) = site.subnet.as_ref().filter(|subnet| !subnet.value.contains(*address)) {
        findings
            .error(
                place,
                "server.mesh_address.outside",
                format!("mesh address {address} of `{}` is outside its site's subnet", server.name),
            )
            .detail(format!("`subnet` of site `{}` is {}.", site.name, subnet.value));
    }
}

/// Neither private nor set aside; addresses for documentation (RFC 5737, RFC 3849) stand for public ones.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xC0 == 64;
            let here = v4.is_private() || v4.is_loopback() || v4.is_link_local() || shared;
            !here && !v4.is_unspecified() && !v4.is_multicast() && !v4.is_broadcast()
        }
        IpAddr::V6(v6) => {
            let here = v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local();
            !here && !v6.is_unspecified() && !v6.is_multicast()
        }
    }
}

fn check_reachable(drafts: &Drafts, server: &ServerDraft, findings: &mut Findings) {
    let alone = drafts.servers().nth(1).is_none();
    let given = server.ip.is_some() || server.endpoint.is_some();
    if alone || given || findings.concern(&server.place, "ip") || findings.concern(&server.place, "endpoint")
    {
        return;
    }
    findings
        .warning(
            &server.place,
            "server.unreachable",
            format!("server `{}` has no `ip` and no `endpoint`", server.name),
        )
        .detail("The others wait until it calls them; two such servers cannot reach each other directly.");
}

/// What an address is to a server.
#[derive(Clone, Copy, PartialEq)]
enum Use {
    Mesh,
    Public,
}

fn check_used_once(drafts: &Drafts, findings: &mut Findings) {
    let mut seen: BTreeMap<IpAddr, (&ServerDraft, Use, &Place)> = BTreeMap::new();
    for server in drafts.servers() {
        // Behind one shared public address, servers are told apart by their endpoints.
        let public = server.ip.as_ref().filter(|_| server.endpoint.is_none()).map(|ip| (ip, Use::Public));
        let mesh = server.mesh_address.as_ref().map(|ip| (ip, Use::Mesh));
        for (Placed { value: address, place }, here) in mesh.into_iter().chain(public) {
            let Some((first, there, first_place)) = seen.get(address) else {
                seen.insert(*address, (server, here, place));
                continue;
            };
            let name = |kind: &Use| if *kind == Use::Mesh { "mesh address" } else { "public address" };
            findings.error(place, "address.twice", format!("address {address} is used twice")).detail(
                format!(
                    "It is the {} of `{}` ({} line {}) and the {} of `{}`.",
                    name(there),
                    first.name,
                    first_place.file,
                    first_place.line,
                    name(&here),
                    server.name,
                ),
            );
        }
    }
}

/// An operator has a mesh address of its own.
fn check_operators(drafts: &Drafts, findings: &mut Findings) {
    let of_servers =
        drafts.servers().filter_map(|server| Some((server.mesh_address.as_ref()?.value, &server.name)));
    let mut seen: BTreeMap<_, _> = of_servers.collect();
    for operator in &drafts.network.operators {
        let Placed { value: address, place } = &operator.mesh_address;
        if let Some(first) = seen.insert(*address, &operator.name) {
            findings
                .error(place, "address.twice", format!("address {address} is used twice"))
                .detail(format!("It is the mesh address of `{first}` and of operator `{}`.", operator.name));
        }
    }
}

/// Sites may number their own networks alike, so a LAN address is used once in its site.
fn check_lan_addresses(drafts: &Drafts, findings: &mut Findings) {
    for site in drafts.enabled_sites() {
        let mut seen = BTreeMap::new();
        for server in &site.servers {
            let Some(Placed { value: address, place }) = &server.lan_ip else { continue };
            if let Some(first) = seen.insert(address, &server.name) {
                findings
                    .error(place, "address.twice", format!("address {address} is used twice"))
                    .detail(format!("It is the LAN address of `{first}` and of `{}`.", server.name));
            }
        }
    }
}

fn check_endpoints(drafts: &Drafts, findings: &mut Findings) {
    let mut seen = BTreeMap::new();
    for server in drafts.servers() {
        let Some(endpoint) = &server.endpoint else { continue };
        if let Some(first) = seen.insert(&endpoint.value, &server.name) {
            findings
                .error(
                    &endpoint.place,
                    "endpoint.twice",
                    format!("endpoint {} is used twice", endpoint.value),
                )
                .detail(format!("By `{first}` and by `{}`.", server.name))
                .hint("Forward a UDP port of its own to each server.");
        }
    }
}

fn check_overlaps(drafts: &Drafts, findings: &mut Findings) {
    let with_subnet =
        drafts.enabled_sites().filter_map(|site| site.subnet.as_ref().map(|subnet| (site, subnet)));
    for (number, (site, subnet)) in with_subnet.clone().enumerate() {
        for (earlier, other) in with_subnet.clone().take(number) {
            if subnet.value.overlaps(other.value) {
                findings
                    .error(
                        &subnet.place,
                        "site.subnet.overlap",
                        format!("the subnets of `{}` and `{}` overlap", earlier.name, site.name),
                    )
                    .detail(format!("{} (line {}) and {}.", other.value, other.place.line, subnet.value));
            }
        }
    }
}
