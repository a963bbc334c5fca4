use std::collections::BTreeSet;

use super::policy::{LAG_BOUND_BYTES_MAX, TIME_MS_MAX};
use crate::findings::{Findings, Place, Placed};
use crate::json::{Node, Object};
use crate::policy::{ListenAddress, RoutingPolicy};

/// Most connections that one address can be asked to take.
const CONNECTIONS_MAX: u32 = 50_000;

/// Reads `routing` of `policy.json`.
pub(super) fn read_routing(node: &Node<'_>, findings: &mut Findings) -> RoutingPolicy {
    let mut policy = RoutingPolicy::default();
    let Some(mut object) = node.object(findings) else { return policy };
    let read_write = read_addresses(&mut object, "readWrite", &mut policy.read_write, findings);
    let read_only = read_addresses(&mut object, "readOnly", &mut policy.read_only, findings);
    let given = [read_write, read_only].concat();
    refuse_twice(&given, &policy, &object.place, findings);
    for address in read_addresses(&mut object, "proxyProtocol", &mut policy.proxy_protocol, findings) {
        if !policy.read_write.contains(&address.value) && !policy.read_only.contains(&address.value) {
            findings
                .error(
                    &address.place,
                    "policy.routing.proxy_protocol",
                    format!("no clients come in at `{}`", address.value),
                )
                .hint("Name it in `readWrite` or `readOnly` too.");
        }
    }
    if let Some(directory) = object.optional("socketDir").and_then(|node| node.parsed(findings)) {
        policy.socket_dir = Some(directory.value);
    }
    object.set_integer("holdMs", &mut policy.hold_ms, 0..=TIME_MS_MAX, findings);
    object.set_integer("lagBoundBytes", &mut policy.lag_bound_bytes, 0..=LAG_BOUND_BYTES_MAX, findings);
    object.set_integer("connectionsMax", &mut policy.connections_max, 1..=CONNECTIONS_MAX, findings);
    object.finish(findings);
    policy
}

/// The addresses of a list that are good, with their places; without the key those of `into` stay.
fn read_addresses(
    object: &mut Object<'_>,
    key: &'static str,
    into: &mut Vec<ListenAddress>,
    findings: &mut Findings,
) -> Vec<Placed<ListenAddress>> {
    let Some(node) = object.optional(key) else { return Vec::new() };
    let Some(nodes) = node.list(findings) else { return Vec::new() };
    if nodes.len() > RoutingPolicy::ADDRESSES_MAX {
        findings
            .error(&node.place, "policy.routing.addresses", format!("`{key}` has {} members", nodes.len()))
            .detail(format!("At most {}.", RoutingPolicy::ADDRESSES_MAX))
            .hint("One address reaches every client of its network.");
    }
    let good: Vec<_> = nodes.iter().filter_map(|node| node.parsed::<ListenAddress>(findings)).collect();
    *into = good.iter().map(|address| address.value).collect();
    good
}

/// An address takes clients of one kind, and is listened on once.
fn refuse_twice(
    given: &[Placed<ListenAddress>],
    policy: &RoutingPolicy,
    routing: &Place,
    findings: &mut Findings,
) {
    let mut seen = BTreeSet::new();
    for &address in policy.read_write.iter().chain(&policy.read_only) {
        if !seen.insert(address) {
            let place = given.iter().rfind(|it| it.value == address).map_or(routing, |it| &it.place);
            findings
                .error(place, "policy.routing.twice", format!("`{address}` is used twice"))
                .detail("An address leads either to the primary or to a standby.")
                .hint("Choose another port for one of the two.");
        }
    }
}
