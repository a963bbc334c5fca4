use super::{KeyDraft, read_key};
use crate::findings::Findings;
use crate::json::Node;
use crate::{MeshMode, NetworkSettings, PRIVATE_KEY_MARKER};

/// `network.json` as read.
#[derive(Default)]
pub(crate) struct NetworkDraft {
    pub(crate) public_key: Option<KeyDraft>,
    pub(crate) settings: NetworkSettings,
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
    object.finish(findings);
    NetworkDraft { public_key, settings }
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
