//! `wg` on an interface of ours, and every fault that boringtun's own device has there.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::time::SystemTime;

use sb_wireguard::userspace::{Configuration, UserspaceInterface};
use sb_wireguard::{Change, PrivateKey};

use crate::host::{Host, PORT, Tunnel, is_root, two_hosts, wg};

fn socket_of(tunnel: &Tunnel) -> String {
    format!("/var/run/wireguard/{}.sock", tunnel.name)
}

/// Says something to the control socket, as a client that is not `wg`.
fn say(tunnel: &Tunnel, text: &str) -> String {
    let mut stream = UnixStream::connect(socket_of(tunnel)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn stranger() -> String {
    PrivateKey::generate().public_key().to_hex()
}

#[test]
fn changing_a_peer_in_use_neither_freezes_nor_forgets() {
    if !is_root() {
        return;
    }
    let (left, _right, a, b) = two_hosts();
    left.reaches("10.9.0.2");
    let before = a.interface.observe().peers.remove(0);
    let key = b.private_key.public_key().to_string();
    for seconds in ["1", "25", "off"] {
        wg(&["set", &a.name, "peer", &key, "persistent-keepalive", seconds]);
        assert!(left.ping("10.9.0.2", &[]));
    }
    let files = tempfile::tempdir().unwrap();
    let saved = files.path().join("saved.conf");
    fs::write(&saved, wg(&["showconf", &a.name])).unwrap();
    for _ in 0..3 {
        wg(&["syncconf", &a.name, saved.to_str().unwrap()]);
        assert!(left.ping("10.9.0.2", &[]));
    }
    let after = a.interface.observe().peers.remove(0);
    assert_eq!(after.last_handshake, before.last_handshake);
    assert!(after.sent_bytes > before.sent_bytes && after.received_bytes > before.received_bytes);
}

#[test]
fn a_handshake_is_told_as_a_time_of_day() {
    if !is_root() {
        return;
    }
    let (left, _right, a, _b) = two_hosts();
    left.reaches("10.9.0.2");
    let told = wg(&["show", &a.name, "latest-handshakes"]);
    let seconds: u64 = told.trim().rsplit('\t').next().unwrap().parse().unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!(seconds <= now && now - seconds < 60, "{seconds} at {now}");
}

#[test]
fn a_saved_configuration_has_the_private_key_and_can_be_loaded() {
    if !is_root() {
        return;
    }
    let (left, _right, a, _b) = two_hosts();
    let saved = wg(&["showconf", &a.name]);
    assert!(saved.contains(a.private_key.expose_base64().as_str()));
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("saved.conf");
    fs::write(&file, &saved).unwrap();
    wg(&["setconf", &a.name, file.to_str().unwrap()]);
    assert_eq!(wg(&["showconf", &a.name]), saved);
    left.reaches("10.9.0.2");
}

#[test]
fn peers_of_one_request_inherit_nothing_from_each_other() {
    if !is_root() {
        return;
    }
    let host = Host::new();
    let a = Tunnel::on(&host, "10.9.0.1");
    let (first, second) = (stranger(), stranger());
    let secret = "1".repeat(64);
    let answer = say(
        &a,
        &format!(
            "set=1\npublic_key={first}\npreshared_key={secret}\nendpoint=192.0.2.9:1\npersistent_keepalive_interval=9\n\
             allowed_ip=10.9.0.9/32\npublic_key={second}\nallowed_ip=10.9.0.8/32\n\n"
        ),
    );
    assert_eq!(answer, "errno=0\n\n");
    let observed = a.interface.observe();
    let second = observed.peers.iter().find(|peer| peer.public_key.to_hex() == second).unwrap();
    assert_eq!((second.endpoint, second.keepalive_seconds), (None, 0));
    assert!(second.preshared_key.is_none());
}

#[test]
fn a_removed_peer_takes_no_new_one_with_it() {
    if !is_root() {
        return;
    }
    let host = Host::new();
    let a = Tunnel::on(&host, "10.9.0.1");
    let (old, new) = (stranger(), stranger());
    say(&a, &format!("set=1\npublic_key={old}\n\n"));
    let answer = say(
        &a,
        &format!("set=1\npublic_key={old}\nremove=true\npublic_key={new}\nallowed_ip=10.9.0.7/32\n\n"),
    );
    assert_eq!(answer, "errno=0\n\n");
    let keys: Vec<_> = a.interface.observe().peers.iter().map(|peer| peer.public_key.to_hex()).collect();
    assert_eq!(keys, [new]);
}

#[test]
fn peers_may_come_before_the_private_key() {
    if !is_root() {
        return;
    }
    let (left, right) = (Host::new(), Host::new());
    left.lay_line(&right, ("line", "192.0.2.1/24"), ("line", "192.0.2.2/24"));
    let (a, b) = (Tunnel::bare(&left, "10.9.0.1"), Tunnel::on(&right, "10.9.0.2"));
    b.meet(&a, None);
    a.meet(&b, Some("192.0.2.2:51820"));
    assert!(!left.ping("10.9.0.2", &[]));
    a.interface.apply(&[Change::PrivateKey(Some(a.private_key.clone()))]).unwrap();
    left.reaches("10.9.0.2");
}

#[test]
fn an_address_has_one_owner_for_sending_and_for_taking() {
    if !is_root() {
        return;
    }
    let (left, right, a, b) = two_hosts();
    left.reaches("10.9.0.2");
    say(
        &b,
        &format!("set=1\npublic_key={}\nreplace_allowed_ips=true\nallowed_ip=10.9.0.1/32\n\n", stranger()),
    );
    assert!(!left.ping("10.9.0.2", &[]) && !right.ping("10.9.0.1", &[]));
    assert!(b.interface.rejected().foreign_source > 0);
    b.meet(&a, None);
    left.reaches("10.9.0.2");
}

#[test]
fn one_port_has_one_owner() {
    if !is_root() {
        return;
    }
    let host = Host::new();
    let a = Tunnel::on(&host, "10.9.0.1");
    let b = Tunnel::bare(&host, "10.9.1.1");
    let before = b.interface.observe().listen_port;
    let said = Command::new("wg").args(["set", &b.name, "listen-port", &PORT.to_string()]).output().unwrap();
    assert!(!said.status.success());
    assert!(String::from_utf8_lossy(&said.stderr).contains("Address already in use"), "{said:?}");
    assert_eq!(b.interface.observe().listen_port, before, "it goes on where it was");
    drop(a);
    wg(&["set", &b.name, "listen-port", &PORT.to_string()]);
    assert_eq!(b.interface.observe().listen_port, PORT);
}

#[test]
fn what_cannot_be_read_changes_nothing_and_the_socket_goes_on() {
    if !is_root() {
        return;
    }
    let host = Host::new();
    let a = Tunnel::on(&host, "10.9.0.1");
    for text in ["set=1\nlisten_port=x\n\n", "set=1\nnonsense=1\n\n", "\u{e9}\n\n", "\n"] {
        let answer = say(&a, text);
        assert!(answer.starts_with("errno=-"), "{text:?}: {answer:?}");
    }
    assert_eq!(a.interface.observe().listen_port, PORT);
    assert!(say(&a, "get=1\n\nget=1\n\n").matches("errno=0").count() == 2);
}

#[test]
fn the_socket_is_its_owners_and_ends_with_the_interface_and_a_dead_one_is_replaced() {
    if !is_root() {
        return;
    }
    let host = Host::new();
    let a = Tunnel::on(&host, "10.9.0.1");
    let (path, name) = (socket_of(&a), a.name.clone());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(a);
    assert!(!fs::exists(&path).unwrap());
    host.run(|| assert!(!fs::exists(format!("/sys/class/net/{name}")).unwrap()));

    let files = tempfile::tempdir().unwrap();
    let configuration = Configuration {
        name: name.clone(),
        mtu_bytes: 1420,
        addresses: vec![],
        control_directory: Some(files.path().to_path_buf()),
    };
    let path = files.path().join(format!("{name}.sock"));
    drop(UnixListener::bind(&path).unwrap());
    let interface = host.run(|| UserspaceInterface::create(&configuration).unwrap());
    assert!(UnixStream::connect(&path).is_ok());
    assert!(interface.ended().is_none());
    host.ip(&format!("link del {name}"));
    crate::host::eventually("the end of an interface without a device", || interface.ended().is_some());
}
