use std::path::PathBuf;

use crate::findings::Findings;
use crate::json::{Node, Object};
use crate::policy::{EtcdPolicy, EtcdUrl, StoreKind, StorePolicy};

const KINDS: [(&str, StoreKind); 2] = [("raft", StoreKind::Raft), ("etcd", StoreKind::Etcd)];

/// The keys that only an etcd has.
const ETCD_KEYS: [&str; 6] = ["endpoints", "caFile", "certFile", "keyFile", "username", "passwordFile"];

/// Reads `store` of `policy.json`.
pub(super) fn read_store(node: &Node<'_>, findings: &mut Findings) -> StorePolicy {
    let Some(mut object) = node.object(findings) else { return StorePolicy::default() };
    let mut kind = StoreKind::default();
    object.set_word("kind", &mut kind, &KINDS, findings);
    let store = match kind {
        StoreKind::Raft => {
            note_without_effect(&mut object, findings);
            StorePolicy::Raft
        }
        StoreKind::Etcd => StorePolicy::Etcd(read_etcd(&mut object, findings)),
    };
    object.finish(findings);
    store
}

fn note_without_effect(object: &mut Object<'_>, findings: &mut Findings) {
    for key in ETCD_KEYS {
        if let Some(node) = object.optional(key) {
            findings
                .warning(&node.place, "policy.store.no_effect", format!("`{key}` has no effect"))
                .detail("It belongs to the store `etcd`.")
                .hint("Set `\"kind\": \"etcd\"`, or leave this key out.");
        }
    }
}

fn read_etcd(object: &mut Object<'_>, findings: &mut Findings) -> EtcdPolicy {
    let endpoints = read_endpoints(object, findings);
    let mut file = |key| object.optional(key).and_then(|node| node.parsed::<PathBuf>(findings));
    let [ca_file, certificate, key, password] =
        ["caFile", "certFile", "keyFile", "passwordFile"].map(&mut file).map(|file| file.map(|it| it.value));
    let username = object.optional("username").and_then(|node| node.text(findings));
    let username = username.map(|name| name.value.to_owned()).filter(|name| !name.is_empty());
    let mut pair = |code, message: &str, hint: &str| {
        findings.error(&object.place, code, message).hint(hint);
    };
    if certificate.is_some() != key.is_some() {
        pair(
            "policy.store.certificate",
            "`certFile` and `keyFile` belong together",
            "Give both, or neither.",
        );
    }
    if username.is_some() != password.is_some() {
        let hint = "Give both, or neither; the password is the first line of the file.";
        pair("policy.store.login", "`username` and `passwordFile` belong together", hint);
    }
    let tls = endpoints.iter().filter(|url| url.is_tls()).count();
    if tls > 0 && ca_file.is_none() {
        let hint = "Give the PEM file of the authority that signed etcd's certificates.";
        pair("policy.store.ca", "`caFile` is missing: etcd's certificates could not be checked", hint);
    }
    if tls < endpoints.len() && (username.is_some() || certificate.is_some()) {
        findings
            .warning(&object.place, "policy.store.plain", "some endpoints are reached without TLS")
            .detail("The password can be read on the way, and the certificate is not shown.")
            .hint("Use `https://` for every endpoint.");
    }
    EtcdPolicy { endpoints, ca_file, client: certificate.zip(key), login: username.zip(password) }
}

fn read_endpoints(object: &mut Object<'_>, findings: &mut Findings) -> Vec<EtcdUrl> {
    let Some(node) = object.required("endpoints", findings) else { return Vec::new() };
    let Some(nodes) = node.list(findings) else { return Vec::new() };
    let count = nodes.len();
    if !(1..=EtcdPolicy::ENDPOINTS_MAX).contains(&count) {
        findings
            .error(&node.place, "policy.store.endpoints", format!("`endpoints` has {count} members"))
            .detail(format!("From 1 to {}.", EtcdPolicy::ENDPOINTS_MAX))
            .hint("Name every member of etcd, such as \"http://10.0.1.10:2379\".");
    } else if count < 3 {
        findings
            .warning(&node.place, "policy.store.few_endpoints", "etcd is asked at fewer than three members")
            .detail("With the only endpoints gone the primary is fenced, whatever the rest of etcd does.")
            .hint("Name every member of etcd.");
    }
    nodes.iter().filter_map(|node| node.parsed::<EtcdUrl>(findings)).map(|url| url.value).collect()
}
