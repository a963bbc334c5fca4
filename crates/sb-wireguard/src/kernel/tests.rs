//! The kernel's messages, beside bytes that `wg` and a kernel with WireGuard exchanged: recorded on a netlink monitor by
//! the authors of the `netlink-packet-wireguard` crate (its `src/test.rs`), without the netlink header.

use netlink_packet_core::{Emitable, ParseableParametrized};
use netlink_packet_generic::GenlHeader;
use netlink_packet_wireguard::WireguardMessage;

use super::decode::decode;
use super::encode::encode;
use crate::{
    AddressesChange, AllowedIp, Change, ObservedInterface, ObservedPeer, PeerChange, PeerScope, PresharedKey,
    PrivateKey, PublicKey,
};

/// A kernel's answer about interface `cn`; the private key and the peer's address were masked by who recorded it.
const ANSWER: &str = "\
00010000060006002c8000000800070000000000080001000300000007000200636e0000240003000001020304050607\
08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f24000400ccaf10e1a9d7d05ff2bdd2a0f1782d97469a1cf7\
be880f6875a779935d1d2175c0000880bc0000802400010077dc9ac0b3f0c5e75bb8d3422d88ec92d13a342322908782\
1551571969dea04424000200000000000000000000000000000000000000000000000000000000000000000014000600\
9a24776900000000020ea80f0000000006000500190000000c00080080401d00000000000c0007009844d00100000000\
08000a00010000001400040002000457010101010000000000000000200009801c000080050003000000000006000100\
020000000800020000000000";

/// What `wg setconf` said of a peer with `AllowedIPs = 192.0.2.2/32, 2001:db8:1::2/128`.
const PEERS_REQUEST: &str = "\
7c00088078000080240001007bff328c656b0da2385816ee0b47e9dc5bba3bf77982d8dc993473ede572b40f08000300\
02000000480009801c000080060001000200000008000200c0000202050003002000000028000080060001000a000000\
1400020020010db80001000000000000000000020500030080000000";

/// What it said of the interface `wg0` before that.
const KEY_REQUEST: &str = "2400030008f8740fc287da7a1c44fc1a735cecf3b09e338118220875348b88ac755bfe59";
const PORT_REQUEST: &str = "0600060003d90000";
const MARK_REQUEST: &str = "0800070000000000";
const REPLACE_REQUEST: &str = "0800050001000000";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// The attributes of a request about `wg0`, behind the interface's name.
fn emitted(change: &Change, observed: &ObservedInterface) -> Vec<u8> {
    let message = encode("wg0", change, observed);
    let mut buffer = vec![0; message.buffer_len()];
    message.emit(&mut buffer);
    assert_eq!(
        buffer[..12],
        bytes("0800020077673000").into_iter().chain(buffer[8..12].to_vec()).collect::<Vec<_>>()
    );
    buffer.split_off(8)
}

fn recorded_key() -> PublicKey {
    PublicKey::from_hex("7bff328c656b0da2385816ee0b47e9dc5bba3bf77982d8dc993473ede572b40f").unwrap()
}

fn range(text: &str) -> AllowedIp {
    text.parse().unwrap()
}

fn emitted_peer(change: PeerChange, observed: &ObservedInterface) -> Vec<u8> {
    emitted(&Change::Peer(change), observed)
}

#[test]
fn requests_are_the_bytes_that_wg_sent() {
    let nothing = ObservedInterface::default();
    let key =
        PrivateKey::from_hex("08f8740fc287da7a1c44fc1a735cecf3b09e338118220875348b88ac755bfe59").unwrap();
    assert_eq!(emitted(&Change::PrivateKey(Some(key)), &nothing), bytes(KEY_REQUEST));
    assert_eq!(emitted(&Change::ListenPort(55555), &nothing), bytes(PORT_REQUEST));
    assert_eq!(emitted(&Change::FirewallMark(0), &nothing), bytes(MARK_REQUEST));
    assert_eq!(emitted(&Change::RemoveAllPeers, &nothing), bytes(REPLACE_REQUEST));
    let mut change = PeerChange::new(recorded_key(), PeerScope::MadeIfMissing);
    change.addresses =
        Some(AddressesChange::Replace(vec![range("192.0.2.2/32"), range("2001:db8:1::2/128")]));
    assert_eq!(emitted_peer(change, &nothing), bytes(PEERS_REQUEST));
}

#[test]
fn an_answer_reads_as_what_the_kernel_had() {
    let raw = bytes(ANSWER);
    let header = GenlHeader::parse(&raw[..4]).unwrap();
    let interface = decode(vec![WireguardMessage::parse_with_param(&raw[4..], header).unwrap()]);
    assert_eq!((interface.listen_port, interface.firewall_mark), (32812, 0));
    assert!(interface.private_key.is_some());
    let peer = &interface.peers[0];
    assert_eq!(peer.public_key.to_hex(), "77dc9ac0b3f0c5e75bb8d3422d88ec92d13a3423229087821551571969dea044");
    assert_eq!(peer.preshared_key, None);
    assert_eq!(peer.endpoint, Some("1.1.1.1:1111".parse().unwrap()));
    assert_eq!(peer.keepalive_seconds, 25);
    assert_eq!(peer.last_handshake.unwrap().as_secs(), 1_769_415_834);
    assert_eq!((peer.sent_bytes, peer.received_bytes), (1_917_056, 30_426_264));
    assert_eq!(peer.addresses, vec![range("0.0.0.0/0")]);
    assert_eq!(interface.peers.len(), 1);
}

#[test]
fn a_peer_that_goes_on_in_the_next_message_is_one_peer() {
    let raw = bytes(ANSWER);
    let header = GenlHeader::parse(&raw[..4]).unwrap();
    let message = WireguardMessage::parse_with_param(&raw[4..], header).unwrap();
    let interface = decode(vec![message.clone(), message]);
    assert_eq!(interface.peers.len(), 1);
    assert_eq!(interface.peers[0].addresses.len(), 2);
}

/// `WGPEER_A_FLAGS` is 3; `UPDATE_ONLY` 4, `REMOVE_ME` 1, `REPLACE_ALLOWEDIPS` 2 (`linux/wireguard.h`).
#[test]
fn flags_say_update_only_and_remove() {
    let nothing = ObservedInterface::default();
    let update = emitted_peer(PeerChange::new(recorded_key(), PeerScope::OnlyIfPresent), &nothing);
    assert!(update.ends_with(&bytes("0800030004000000")));
    let removal = emitted(&Change::RemovePeer(recorded_key()), &nothing);
    assert!(removal.ends_with(&bytes("0800030001000000")));
}

#[test]
fn taking_a_range_away_names_the_ranges_that_stay() {
    let mut peer = ObservedPeer::new(recorded_key());
    peer.addresses = vec![range("192.0.2.2/32"), range("192.0.2.9/32"), range("2001:db8:1::2/128")];
    let observed = ObservedInterface { peers: vec![peer], ..ObservedInterface::default() };
    let mut change = PeerChange::new(recorded_key(), PeerScope::MadeIfMissing);
    change.addresses = Some(AddressesChange::Alter { more: Vec::new(), less: vec![range("192.0.2.9/32")] });
    assert_eq!(emitted_peer(change, &observed), bytes(PEERS_REQUEST));
}

#[test]
fn zeros_take_a_preshared_key_away() {
    let nothing = ObservedInterface::default();
    let mut change = PeerChange::new(recorded_key(), PeerScope::MadeIfMissing);
    change.preshared_key = Some(None);
    let taken = emitted_peer(change.clone(), &nothing);
    assert!(taken.ends_with(&[&bytes("24000200")[..], &[0; 32]].concat()));
    change.preshared_key = Some(PresharedKey::from_bytes([7; 32]));
    assert!(emitted_peer(change, &nothing).ends_with(&[&bytes("24000200")[..], &[7; 32]].concat()));
}
