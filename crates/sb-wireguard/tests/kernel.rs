//! A WireGuard interface of the kernel, in a network namespace of its own.
#![allow(clippy::print_stderr, reason = "a test that cannot run here says so")]

use nix::sched::{CloneFlags, unshare};
use sb_wireguard::{
    AddressesChange, AllowedIp, Change, KernelError, KernelInterface, Origin, PeerChange, PeerScope,
    PrivateKey,
};

const NAME: &str = "sbk0";

fn range(text: &str) -> AllowedIp {
    text.parse().expect("a range")
}

#[test]
fn the_kernels_interface_has_what_is_applied_and_keeps_it() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: a network namespace needs root");
        return;
    }
    let thread = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        if KernelInterface::is_available().expect("an answer, whichever") {
            configure_and_observe();
        } else {
            assert!(matches!(KernelInterface::open(NAME), Err(KernelError::NoModule)));
            eprintln!("SKIPPED: this kernel has no WireGuard; only its refusal was tested");
        }
    });
    thread.join().expect("the work in the namespace succeeds");
}

fn configure_and_observe() {
    let mut interface = KernelInterface::open(NAME).expect("an interface");
    assert_eq!(interface.origin(), Origin::Made);
    assert_eq!(KernelInterface::open(NAME).expect("the same").origin(), Origin::Found);
    let own = PrivateKey::generate();
    let peer = PrivateKey::generate().public_key();
    let mut change = PeerChange::new(peer, PeerScope::MadeIfMissing);
    change.keepalive_seconds = Some(25);
    change.endpoint = Some("192.0.2.1:51820".parse().expect("an endpoint"));
    change.addresses = Some(AddressesChange::Replace(vec![range("10.0.2.1/32"), range("10.0.3.1/32")]));
    let changes = [Change::PrivateKey(Some(own.clone())), Change::ListenPort(0), Change::Peer(change)];
    interface.apply(&changes).expect("the kernel takes the changes");
    let mut less = PeerChange::new(peer, PeerScope::OnlyIfPresent);
    less.addresses = Some(AddressesChange::Alter { more: Vec::new(), less: vec![range("10.0.3.1/32")] });
    interface.apply(&[Change::Peer(less)]).expect("the kernel takes the change");

    let observed = interface.observe().expect("what it is");
    assert_eq!(observed.private_key.as_ref().map(|key| key.public_key()), Some(own.public_key()));
    let peer = observed.peer(&peer).expect("the peer");
    assert_eq!(peer.addresses, vec![range("10.0.2.1/32")]);
    assert_eq!(peer.endpoint, Some("192.0.2.1:51820".parse().expect("an endpoint")));
    assert_eq!(peer.keepalive_seconds, 25);
}
