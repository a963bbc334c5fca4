//! What the tools of WireGuard themselves make of our keys and files. Skipped, loudly, where they are not installed.

#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::io::Write;
use std::process::{Command, Stdio};

use sb_wireguard::PrivateKey;
use sb_wireguard::wg_quick::{KeyFiles, QuickFile, is_as_written};

/// What a program prints when given `input`; [`None`] when there is no such program.
fn printed(program: &str, arguments: &[&str], input: &str) -> Option<String> {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("SKIPPED: there is no `{program}`; install wireguard-tools");
        return None;
    };
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{program}: {}", output.status);
    Some(String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn wg_derives_the_same_public_key() {
    for _ in 0..8 {
        let key = PrivateKey::generate();
        let Some(derived) = printed("wg", &["pubkey"], key.expose_base64().as_str()) else { return };
        assert_eq!(derived.trim(), key.public_key().to_string());
    }
}

#[test]
fn a_key_of_wg_reads_as_it_is() {
    let Some(text) = printed("wg", &["genkey"], "") else { return };
    let key = PrivateKey::from_base64(&text).unwrap();
    assert_eq!(key.expose_base64().as_str(), text.trim());
}

#[test]
fn wg_quick_reads_what_is_installed_and_finds_no_secret_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sbtest0.conf");
    let (own, peer) = (PrivateKey::generate(), PrivateKey::generate().public_key());
    let text = format!(
        "[Interface]\nPrivateKey = {}\nListenPort = 51820\nAddress = 10.0.1.1/32\nMTU = 1420\n\
         [Peer]\nPublicKey = {peer}\nAllowedIPs = 10.0.2.1/32\nEndpoint = 192.0.2.2:51820\n",
        own.expose_base64().as_str(),
    );
    let mut file = QuickFile::read(&text).unwrap();
    let files = KeyFiles {
        private_key: directory.path().join("own.key"),
        preshared_keys: directory.path().join("psk"),
    };
    let secrets = file.take_secrets(&files).unwrap();

    file.install(&path, &secrets).unwrap();

    let installed = std::fs::read_to_string(&path).unwrap();
    assert!(is_as_written(&installed));
    let kept = std::fs::read_to_string(&files.private_key).unwrap();
    assert_eq!(kept.trim(), own.expose_base64().as_str());
    for written in [&path, &files.private_key] {
        let mode = std::os::unix::fs::PermissionsExt::mode(&written.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "{}", written.display());
    }
    if printed("id", &["-u"], "").is_none_or(|user| user.trim() != "0") {
        eprintln!("SKIPPED: `wg-quick strip` asks for root");
        return;
    }
    let Some(stripped) = printed("wg-quick", &["strip", path.to_str().unwrap()], "") else { return };
    let lines: Vec<_> = stripped.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let key = format!("PublicKey = {peer}");
    let expected = [
        "[Interface]",
        "ListenPort = 51820",
        "[Peer]",
        key.as_str(),
        "AllowedIPs = 10.0.2.1/32",
        "Endpoint = 192.0.2.2:51820",
    ];
    assert_eq!(lines, expected);
}
