use std::net::IpAddr;

use super::{KeyDraft, read_key};
use crate::findings::{Findings, Placed, shown};
use crate::json::Node;
use crate::{MeshMode, NetworkSettings, Operator, PRIVATE_KEY_MARKER, PublicKey, ServerName};

/// `network.json` as read.
#[derive(Default)]
pub(crate) struct NetworkDraft {
    pub(crate) public_key: Option<KeyDraft>,
    pub(crate) settings: NetworkSettings,
    pub(crate) operators: Vec<OperatorDraft>,
}

/// One entry of `operators` as read.
pub(crate) struct OperatorDraft {
    pub(crate) name: ServerName,
    pub(crate) public_key: Placed<PublicKey>,
    pub(crate) mesh_address: Placed<IpAddr>,
}

const MODES: [(&str, MeshMode); 3] =
    [("auto", MeshMode::Auto), ("kernel", MeshMode::Kernel), ("userspace", MeshMode::Userspace)];

/// Reads `network.json`.
pub(crate) fn read_network(root: &Node<'_>, findings: &mut Findings) -> NetworkDraft {
    let mut settings = NetworkSettings::default();
    let Some(mut object) = root.object(findings) else { return NetworkDraft::default() };
    let public_key = object.optional("publicKey").and_then(|node| read_key(&node, findings));
    settings.public_key = public_key.as_ref().and_then(|key| key.value.clone().ok());
    if let Some(node) = object.optional("privateKey") {
        check_private_key(&node, findings);
    }
    object.set_integer("listenPort", &mut settings.listen_port, 1..=u16::MAX, findings);
    settings.endpoint = object.optional("endpoint").and_then(|node| node.parsed(findings)).map(|e| e.value);
    if let Some(interface) = object.optional("interface").and_then(|node| read_interface(&node, findings)) {
        settings.interface = interface;
    }
    let mtu = NetworkSettings::MTU_MIN..=NetworkSettings::MTU_MAX;
    object.set_integer("mtu", &mut settings.mtu, mtu, findings);
    object.set_integer("keepaliveSeconds", &mut settings.keepalive_seconds, 0..=u16::MAX, findings);
    object.set_word("mode", &mut settings.mode, &MODES, findings);
    let operators =
        object.optional("operators").map(|node| read_operators(&node, findings)).unwrap_or_default();
    settings.operators = operators.iter().map(operator).collect();
    object.finish(findings);
    NetworkDraft { public_key, settings, operators }
}

/// The key itself never stands here, and no message repeats it.
fn check_private_key(node: &Node<'_>, findings: &mut Findings) {
    let Some(text) = node.text(findings) else { return };
    if text.value.is_empty() || text.value == PRIVATE_KEY_MARKER {
        return;
    }
    findings
        .error(&text.place, "network.private_key.exposed", "`privateKey` holds something else than its marker")
        .detail(format!("The only text allowed here is `{PRIVATE_KEY_MARKER}`."))
        .hint("Move the key to `.wireguard_private` (mode 0600). If others could read this file, make a new key.");
}

/// An interface name that Linux accepts, of characters that need no quoting anywhere.
fn read_interface(node: &Node<'_>, findings: &mut Findings) -> Option<String> {
    let text = node.text(findings)?;
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let length = 1..=NetworkSettings::INTERFACE_BYTES_MAX;
    if text.value.bytes().all(good) && length.contains(&text.value.len()) {
        return Some(text.value.to_owned());
    }
    findings
        .error(&text.place, "value.form", "`interface` is not a usable interface name")
        .detail("1 to 15 letters, digits, hyphens and underscores.")
        .hint(format!("Leave the key out for `{}`.", NetworkSettings::INTERFACE_DEFAULT));
    None
}

fn operator(draft: &OperatorDraft) -> Operator {
    Operator {
        name: draft.name.clone(),
        public_key: draft.public_key.value.clone(),
        mesh_address: draft.mesh_address.value,
    }
}

fn read_operators(node: &Node<'_>, findings: &mut Findings) -> Vec<OperatorDraft> {
    let nodes = node.list(findings).unwrap_or_default();
    if nodes.len() > NetworkSettings::OPERATORS_MAX {
        findings.error(&node.place, "value.range", "`operators` has too many entries").detail(format!(
            "{} of {}.",
            nodes.len(),
            NetworkSettings::OPERATORS_MAX
        ));
    }
    nodes.iter().filter_map(|node| read_operator(node, findings)).collect()
}

/// All three values are needed; every one that is missing or wrong is told.
fn read_operator(node: &Node<'_>, findings: &mut Findings) -> Option<OperatorDraft> {
    let mut object = node.object(findings)?;
    let name = object.required("name", findings).and_then(|node| node.text(findings)).and_then(|text| {
        let name = ServerName::new(text.value);
        if name.is_err() {
            findings
                .error(&text.place, "value.form", format!("{} cannot name an operator", shown(text.value)))
                .detail("Lower-case letters, digits and inner hyphens, at most 63 bytes.");
        }
        name.ok()
    });
    let public_key = object.required("publicKey", findings).and_then(|node| node.parsed(findings));
    let mesh_address = object.required("wireguardIp", findings).and_then(|node| node.parsed(findings));
    object.finish(findings);
    Some(OperatorDraft { name: name?, public_key: public_key?, mesh_address: mesh_address? })
}
