//! What packets live through: other programs, NATs, moves, families, sizes.

use std::fs;
use std::process::{Child, Command, Stdio};

use sb_wireguard::{Change, PeerChange, PresharedKey, PrivateKey};

use crate::host::{
    Host, Tunnel, eventually, free_name, is_asked_for, is_root, stream, succeed, two_hosts, wg,
};

#[test]
fn two_hosts_reach_each_other_and_a_stream_arrives_whole_both_ways() {
    if !is_root() {
        return;
    }
    let (left, right, a, b) = two_hosts();
    left.reaches("10.9.0.2");
    stream(&left, &right, "10.9.0.2", 30_000_000);
    stream(&right, &left, "10.9.0.1", 30_000_000);
    let (sent, received) = (a.interface.observe(), b.interface.observe());
    assert!(sent.peers[0].sent_bytes > 30_000_000 && received.peers[0].received_bytes > 30_000_000);
    let rejected = b.interface.rejected();
    assert_eq!((rejected.strangers, rejected.unproven, rejected.foreign_source), (0, 0, 0));
}

#[test]
fn ipv6_carries_the_tunnel_too() {
    if !is_root() {
        return;
    }
    let (left, right) = (Host::new(), Host::new());
    left.lay_line(&right, ("line", "2001:db8::1/64"), ("line", "2001:db8::2/64"));
    let (a, b) = (Tunnel::on(&left, "10.9.0.1"), Tunnel::on(&right, "10.9.0.2"));
    a.meet(&b, Some("[2001:db8::2]:51820"));
    b.meet(&a, None);
    left.reaches("10.9.0.2");
    stream(&left, &right, "10.9.0.2", 5_000_000);
}

#[test]
fn a_host_that_moves_is_followed() {
    if !is_root() {
        return;
    }
    let (left, right, _a, b) = two_hosts();
    left.reaches("10.9.0.2");
    left.ip("addr add 192.0.2.77/24 dev line");
    left.ip("addr del 192.0.2.1/24 dev line");
    // Deleting the first address of a network takes the others away as well.
    left.ip("addr replace 192.0.2.77/24 dev line");
    left.reaches("10.9.0.2");
    let endpoint = b.interface.observe().peers[0].endpoint.unwrap();
    assert_eq!(endpoint.to_string(), "192.0.2.77:51820");
    right.reaches("10.9.0.1");
}

#[test]
fn a_host_behind_a_nat_is_answered_through_it() {
    if !is_root() {
        return;
    }
    let (inner, nat, outer) = (Host::new(), Host::new(), Host::new());
    inner.lay_line(&nat, ("line", "192.168.1.2/24"), ("inner", "192.168.1.1/24"));
    nat.lay_line(&outer, ("outer", "192.0.2.1/24"), ("line", "192.0.2.2/24"));
    inner.ip("route add default via 192.168.1.1");
    nat.run(|| fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
    let rules = "add table ip t; add chain ip t c { type nat hook postrouting priority 100; }; \
                 add rule ip t c oifname outer masquerade";
    succeed(nat.command("nft").arg(rules));
    let (a, b) = (Tunnel::on(&inner, "10.9.0.1"), Tunnel::on(&outer, "10.9.0.2"));
    b.meet(&a, None);
    let keepalive = PeerChange { keepalive_seconds: Some(1), ..a.peer(&b, Some("192.0.2.2:51820")) };
    a.interface.apply(&[Change::Peer(keepalive)]).unwrap();
    // Nobody inside said a word: the keepalive opened the way.
    eventually("a handshake", || b.interface.observe().peers[0].last_handshake.is_some());
    outer.reaches("10.9.0.1");
    assert_eq!(b.interface.observe().peers[0].endpoint.unwrap().ip().to_string(), "192.0.2.1");
}

#[test]
fn another_mtu_counts_at_once() {
    if !is_root() {
        return;
    }
    let (left, right, a, b) = two_hosts();
    left.reaches("10.9.0.2");
    left.ip(&format!("link set {} mtu 9000", a.name));
    right.ip(&format!("link set {} mtu 9000", b.name));
    assert!(left.ping("10.9.0.2", &["-M", "do", "-s", "8972"]), "the first packet of the new size");
    stream(&left, &right, "10.9.0.2", 5_000_000);
    left.ip(&format!("link set {} mtu 1280", a.name));
    assert!(!left.ping("10.9.0.2", &["-M", "do", "-s", "1253"]));
    assert!(left.ping("10.9.0.2", &["-M", "do", "-s", "1252"]));
}

#[test]
fn a_line_that_refuses_long_sends_carries_the_stream_in_single_ones() {
    if !is_root() {
        return;
    }
    let (left, right, _a, _b) = two_hosts();
    // Narrower than a full packet in its datagram: the kernel cuts no send into segments that it would have to cut again.
    left.ip("link set line mtu 1400");
    right.ip("link set line mtu 1400");
    left.reaches("10.9.0.2");
    stream(&left, &right, "10.9.0.2", 5_000_000);
    assert!(right.ping("10.9.0.1", &["-M", "do", "-s", "1392"]));
}

#[test]
fn an_outage_longer_than_boringtuns_patience_ends() {
    if !is_root() {
        return;
    }
    // The same in virtual time runs always; this one takes more than two minutes of everybody's.
    if !is_asked_for("SB_TEST_LONG_OUTAGE") {
        return;
    }
    let (left, right, a, b) = two_hosts();
    for (one, other) in [(&a, &b), (&b, &a)] {
        let change = PeerChange { keepalive_seconds: Some(5), ..one.peer(other, None) };
        one.interface.apply(&[Change::Peer(change)]).unwrap();
    }
    left.reaches("10.9.0.2");
    left.ip("link set line down");
    std::thread::sleep(std::time::Duration::from_secs(130));
    left.ip("link set line up");
    right.reaches("10.9.0.1");
}

/// Debian's wireguard-go on a host; ended when dropped.
struct WireguardGo {
    child: Child,
    name: String,
}

impl WireguardGo {
    fn on(host: &Host) -> Self {
        let name = free_name();
        let mut command = host.command("wireguard-go");
        command.args(["--foreground", &name]).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let is_there = || Command::new("wg").args(["show", &name]).output().unwrap().status.success();
        eventually("wireguard-go's socket", is_there);
        Self { child, name }
    }
}

impl Drop for WireguardGo {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(format!("/var/run/wireguard/{}.sock", self.name));
    }
}

#[test]
fn wireguard_go_understands_us_also_with_a_preshared_key() {
    if !is_root() {
        return;
    }
    let (left, right) = (Host::new(), Host::new());
    left.lay_line(&right, ("line", "192.0.2.1/24"), ("line", "192.0.2.2/24"));
    let ours = Tunnel::on(&left, "10.9.0.1");
    let theirs = WireguardGo::on(&right);
    let (key, shared) = (PrivateKey::generate(), PresharedKey::generate());
    let files = tempfile::tempdir().unwrap();
    let (key_file, shared_file) = (files.path().join("key"), files.path().join("shared"));
    fs::write(&key_file, key.expose_base64().as_str()).unwrap();
    fs::write(&shared_file, shared.expose_base64().as_str()).unwrap();
    let (key_file, shared_file) = (key_file.to_str().unwrap(), shared_file.to_str().unwrap());
    let our_key = ours.private_key.public_key().to_string();
    wg(&["set", &theirs.name, "listen-port", "51820", "private-key", key_file]);
    wg(&["set", &theirs.name, "peer", &our_key, "preshared-key", shared_file, "allowed-ips", "10.9.0.1/32"]);
    right.ip(&format!("addr add 10.9.0.2/24 dev {}", theirs.name));
    right.ip(&format!("link set {} up", theirs.name));
    let their_key = key.public_key().to_string();
    let endpoint = ["endpoint", "192.0.2.2:51820", "allowed-ips", "10.9.0.2/32"];
    wg(&[&["set", &ours.name, "peer", &their_key, "preshared-key", shared_file][..], &endpoint].concat());
    left.reaches("10.9.0.2");
    stream(&left, &right, "10.9.0.2", 5_000_000);
    stream(&right, &left, "10.9.0.1", 5_000_000);
}
