use super::*;

const FILE: &str = "\
# by hand
[Interface]
PrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=
address = 10.0.1.1/24, fd00::1
ListenPort=51820 # here
FwMark = 0xca6c
DNS = 10.0.0.53, example.net
MTU = 1380
Table = off
PreUp = true
PostUp = iptables -A FORWARD -i %i -j ACCEPT
PostDown = first
PostDown = second
SaveConfig = false

[Peer]
PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
PresharedKey = AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
AllowedIPs = 10.0.2.7/24
allowedips = fd00::2/128, 10.0.9.9
Endpoint = vpn.example.net:51821
PersistentKeepalive = 25
[Peer]
PublicKey = HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=
PersistentKeepalive = off
";

fn files(directory: &str) -> KeyFiles {
    let directory = std::path::PathBuf::from(directory);
    KeyFiles { private_key: directory.join("own.key"), preshared_keys: directory.join("psk") }
}

#[test]
fn every_key_of_a_file_is_read() {
    let file = QuickFile::read(FILE).unwrap();
    assert!(file.private_key.is_some() && file.peers[0].preshared_key.is_some());
    assert_eq!((file.listen_port, file.firewall_mark, file.mtu), (Some(51820), 0xca6c, Some(1380)));
    assert_eq!(file.addresses, [("10.0.1.1".parse().unwrap(), 24), ("fd00::1".parse().unwrap(), 128)]);
    assert_eq!((file.dns.len(), file.post_down.len(), file.table.as_deref()), (2, 2, Some("off")));
    let ranges: Vec<_> = file.peers[0].addresses.iter().map(ToString::to_string).collect();
    assert_eq!(ranges, ["10.0.2.0/24", "fd00::2/128", "10.0.9.9/32"]);
    assert_eq!(
        file.peers[0].endpoint.as_ref().map(ToString::to_string).as_deref(),
        Some("vpn.example.net:51821")
    );
    assert_eq!(file.peers[0].keepalive_seconds, 25);
    assert!(file.peers[1].preshared_key.is_none() && file.peers[1].addresses.is_empty());
}

#[test]
fn a_file_that_wg_quick_would_overwrite_is_refused() {
    let problems = QuickFile::read("[Interface]\nSaveConfig = true\n").unwrap_err();
    let text = problems[0].to_string();
    assert!(text.starts_with("error: line 2: `SaveConfig` is set\ndetail: wg-quick then writes"), "{text}");
    assert!(text.contains("\nhint: Take the line out"), "{text}");
}

#[test]
fn everything_that_is_wrong_is_told_at_once_and_no_value_repeated() {
    let text = "MTU = 1\n[Interface]\nPrivateKey = hunter2\nmtu\n[Peer]\nAllowedIPs = 10.0.0.1/40\n[Peer]\nFoo = 1\n";
    let problems = QuickFile::read(text).unwrap_err();
    let lines: Vec<_> = problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [1, 3, 4, 6, 5, 8, 7]);
    assert!(problems.iter().all(|problem| !problem.to_string().contains("hunter2")));
}

#[test]
fn a_rendered_file_has_no_secret_and_reads_back() {
    let mut file = QuickFile::read(FILE).unwrap();
    assert_eq!(file.render(), Err(RenderError::Secret));
    let secrets = file.take_secrets(&files("/etc/sb")).unwrap();
    let text = file.render().unwrap();
    assert!(!text.contains("yAnz5TF") && !text.contains("AAECAw") && !text.contains("SaveConfig"), "{text}");
    assert!(text.contains("PostUp = wg set %i private-key /etc/sb/own.key\n"), "{text}");
    assert_eq!(secrets.len(), 2);
    assert_eq!(QuickFile::read(&text).unwrap().render().unwrap(), text);
}

#[test]
fn an_edit_by_hand_is_seen() {
    let text = QuickFile::default().render().unwrap();
    assert!(is_as_written(&text));
    assert!(!is_as_written(&text.replace("[Interface]", "[Interface]\nMTU = 1400")));
    assert!(!is_as_written(FILE));
}

#[test]
fn what_would_not_read_back_is_not_written() {
    let commands = |text: &str| QuickFile { post_up: vec![text.to_owned()], ..QuickFile::default() }.render();
    for text in ["echo # no", "a\nb", " a", ""] {
        assert_eq!(commands(text), Err(RenderError::Value { key: "PostUp" }), "{text:?}");
    }
    let mut file = QuickFile::read(FILE).unwrap();
    let refused = file.take_secrets(&files("/etc/s b"));
    assert!(matches!(refused, Err(RenderError::Path(_))) && file.private_key.is_some());
}
