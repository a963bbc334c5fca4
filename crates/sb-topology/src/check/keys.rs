use std::collections::BTreeMap;

use super::Drafts;
use crate::findings::{Findings, shown};
use crate::read::KeyDraft;

pub(super) fn check(drafts: &Drafts, findings: &mut Findings) {
    for key in
        drafts.servers().filter_map(|server| server.public_key.as_ref()).chain(&drafts.network.public_key)
    {
        check_placeholder(drafts, key, findings);
    }
    check_used_once(drafts, findings);
    check_operators(drafts, findings);
    check_own_key(drafts, findings);
}

fn check_placeholder(drafts: &Drafts, key: &KeyDraft, findings: &mut Findings) {
    let Err(text) = &key.value else { return };
    findings
        .report(
            drafts.severity_in_mesh(),
            &key.place,
            "wireguard.key.placeholder",
            format!("{} is not a WireGuard key", shown(text)),
        )
        .detail("A key is 32 bytes: 43 characters of base64 and a `=`. This one is ignored.")
        .hint("Leave `publicKey` out: each server makes its own key and the cluster learns it.");
}

fn check_used_once(drafts: &Drafts, findings: &mut Findings) {
    let mut seen = BTreeMap::new();
    for server in drafts.servers() {
        let Some(key) = &server.public_key else { continue };
        let Ok(value) = &key.value else { continue };
        if let Some(first) = seen.insert(value, &server.name) {
            findings
                .error(
                    &key.place,
                    "wireguard.key.twice",
                    format!("`{first}` and `{}` have the same key", server.name),
                )
                .detail("WireGuard keeps one of two peers with the same key.")
                .hint("Make a key on each server.");
        }
    }
}

/// An operator has a key of its own.
fn check_operators(drafts: &Drafts, findings: &mut Findings) {
    let of_servers = drafts.servers().filter_map(|server| {
        let key = server.public_key.as_ref()?.value.as_ref().ok()?;
        Some((key, &server.name))
    });
    let mut seen: BTreeMap<_, _> = of_servers.collect();
    for operator in &drafts.network.operators {
        let key = &operator.public_key;
        if let Some(first) = seen.insert(&key.value, &operator.name) {
            findings
                .error(
                    &key.place,
                    "wireguard.key.twice",
                    format!("`{first}` and `{}` have the same key", operator.name),
                )
                .detail("WireGuard keeps one of two peers with the same key.")
                .hint("Make a key on each machine.");
        }
    }
}

/// When every server's key is known, this server's key is one of them.
fn check_own_key(drafts: &Drafts, findings: &mut Findings) {
    let Some(own) = &drafts.network.public_key else { return };
    let keys: Vec<_> =
        drafts.servers().map(|server| server.public_key.as_ref().map(|key| &key.value)).collect();
    let all_known = keys.iter().all(|key| key.is_some_and(Result::is_ok));
    if own.value.is_ok() && all_known && !keys.contains(&Some(&own.value)) {
        findings
            .error(
                &own.place,
                "wireguard.key.unknown",
                "`publicKey` of `network.json` is not that of any server",
            )
            .detail("Every server of `sites.json` has another `publicKey`.")
            .hint("Copy the key that this server made into its entry of `servers`, or the other way round.");
    }
}
