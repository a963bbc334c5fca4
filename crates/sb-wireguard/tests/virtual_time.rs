//! The engine over hours, in a moment: this program answers CLOCK_BOOTTIME itself, which boringtun reads inside.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use sb_wireguard::engine::{Datagram, Ecn, Engine, Inbox, Moment, Outbox};
use sb_wireguard::{AddressesChange, Change, ObservedPeer, PeerChange, PeerScope, PresharedKey, PrivateKey};

thread_local! {
    /// Every test is a thread, and has its own time.
    static NOW: Cell<Duration> = const { Cell::new(Duration::from_secs(1_000)) };
}

/// The C library's function, as every caller in this program finds it.
///
/// # Safety
/// `time` must point to a `timespec` that can be written, as for `clock_gettime(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(
    clock: nix::libc::clockid_t,
    time: *mut nix::libc::timespec,
) -> nix::libc::c_int {
    if clock == nix::libc::CLOCK_BOOTTIME {
        let now = NOW.try_with(Cell::get).unwrap_or_default();
        let seconds = nix::libc::time_t::try_from(now.as_secs()).unwrap_or_default();
        // SAFETY: the caller's promise.
        unsafe { *time = nix::libc::timespec { tv_sec: seconds, tv_nsec: now.subsec_nanos().into() } };
        return 0;
    }
    // SAFETY: the same arguments for the same call.
    let status = unsafe { nix::libc::syscall(nix::libc::SYS_clock_gettime, clock, time) };
    nix::libc::c_int::try_from(status).unwrap_or(-1)
}

const STEP: Duration = Duration::from_millis(250);
const WALL_AT_START: Duration = Duration::from_secs(1_800_000_000);

struct Host {
    engine: Engine,
    private_key: PrivateKey,
    outside: SocketAddr,
    inside: [u8; 4],
    arrived: Vec<Vec<u8>>,
}

/// Hosts that all know each other, and the line between them.
struct World {
    hosts: Vec<Host>,
    /// Whether a datagram from one host to another arrives.
    passes: Box<dyn FnMut(usize, usize) -> bool>,
    sent: u64,
    /// What the network writes on every datagram.
    mark: Ecn,
}

fn moment() -> Moment {
    let boot = NOW.get();
    Moment { boot, wall: WALL_AT_START + boot }
}

fn packet(from: [u8; 4], to: [u8; 4], bytes: usize) -> Vec<u8> {
    let mut packet = vec![0; bytes];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&u16::try_from(bytes).unwrap().to_be_bytes());
    packet[12..16].copy_from_slice(&from);
    packet[16..20].copy_from_slice(&to);
    packet
}

impl World {
    fn of(number: u8, keepalive_seconds: u16) -> Self {
        let host = |nth: u8| Host {
            engine: Engine::new(1420),
            private_key: PrivateKey::generate(),
            outside: ([192, 0, 2, nth], 51820).into(),
            inside: [10, 9, 0, nth],
            arrived: Vec::new(),
        };
        let hosts: Vec<_> = (0..number).map(host).collect();
        let mut world = Self { hosts, passes: Box::new(|_, _| true), sent: 0, mark: Ecn::default() };
        for at in 0..world.hosts.len() {
            let key = world.hosts[at].private_key.clone();
            world.apply(at, &Change::PrivateKey(Some(key)));
            for other in (0..world.hosts.len()).filter(|other| *other != at) {
                let change = PeerChange {
                    endpoint: Some(world.hosts[other].outside),
                    keepalive_seconds: Some(keepalive_seconds),
                    addresses: Some(AddressesChange::Replace(vec![world.range(other)])),
                    ..world.change(other)
                };
                world.apply(at, &Change::Peer(change));
            }
        }
        world
    }

    fn range(&self, host: usize) -> sb_wireguard::AllowedIp {
        sb_wireguard::AllowedIp::containing(self.hosts[host].inside.into(), 32).unwrap()
    }

    fn change(&self, of: usize) -> PeerChange {
        PeerChange::new(self.hosts[of].private_key.public_key(), PeerScope::MadeIfMissing)
    }

    fn apply(&mut self, at: usize, change: &Change) {
        let mut out = Outbox::default();
        self.hosts[at].engine.apply(change, moment(), &mut out).unwrap();
        self.deliver(at, out);
    }

    fn send(&mut self, from: usize, to: usize) {
        let packet = packet(self.hosts[from].inside, self.hosts[to].inside, 100);
        self.send_this(from, packet);
    }

    fn send_this(&mut self, from: usize, packet: Vec<u8>) {
        let mut buffer = vec![packet];
        buffer[0].resize(128, 0);
        let mut out = Outbox::default();
        self.hosts[from].engine.on_tun_batch(&mut buffer, &[100], moment(), &mut out);
        self.deliver(from, out);
    }

    /// What leaves a host, to where it arrives, and what is answered, until nobody says anything any more.
    fn deliver(&mut self, from: usize, out: Outbox) {
        let mut waiting = vec![(from, out)];
        while let Some((from, out)) = waiting.pop() {
            let datagrams: Vec<_> =
                out.runs().flat_map(|run| run.segments().map(|bytes| (run.to(), bytes.to_vec()))).collect();
            for (to, bytes) in datagrams {
                self.sent += 1;
                let Some(to) = self.hosts.iter().position(|host| host.outside == to) else { continue };
                if !(self.passes)(from, to) {
                    continue;
                }
                let (mut out, mut inbox) = (Outbox::default(), Inbox::default());
                let datagram = Datagram { from: self.hosts[from].outside, ecn: self.mark, bytes: &bytes };
                let host = &mut self.hosts[to];
                host.engine.on_udp_batch([datagram], moment(), &mut out, &mut inbox);
                host.arrived.extend(inbox.packets().map(<[u8]>::to_vec));
                waiting.push((to, out));
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = NOW.get() + time;
        while NOW.get() < until {
            NOW.set(NOW.get() + STEP);
            for at in 0..self.hosts.len() {
                let mut out = Outbox::default();
                self.hosts[at].engine.on_timer(moment(), &mut out);
                self.deliver(at, out);
            }
        }
    }

    fn peer(&self, at: usize, of: usize) -> ObservedPeer {
        let key = self.hosts[of].private_key.public_key();
        self.hosts[at].engine.observe().into_iter().find(|peer| peer.public_key == key).unwrap()
    }

    fn handshake_age(&self, at: usize, of: usize) -> Option<Duration> {
        Some(moment().wall - self.peer(at, of).last_handshake?)
    }

    fn arrives(&mut self, from: usize, to: usize) -> bool {
        let before = self.hosts[to].arrived.len();
        self.send(from, to);
        self.hosts[to].arrived.len() > before
    }
}

#[test]
fn a_packet_waits_for_the_handshake_and_arrives_whole() {
    let mut world = World::of(2, 0);
    assert!(world.arrives(0, 1));
    assert_eq!(world.hosts[1].arrived[0], packet([10, 9, 0, 0], [10, 9, 0, 1], 100));
    assert_eq!(world.peer(0, 1).last_handshake, Some(moment().wall), "an epoch, not an age");
    assert_eq!(world.peer(1, 0).last_handshake, Some(moment().wall));
}

#[test]
fn three_hosts_with_keepalives_find_each_other_without_a_packet() {
    let mut world = World::of(3, 25);
    world.pass(Duration::from_secs(6));
    for (at, of) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)] {
        assert!(world.handshake_age(at, of).is_some(), "{at} of {of}");
    }
}

#[test]
fn a_quiet_tunnel_is_renewed_before_its_session_is_over() {
    let mut world = World::of(2, 25);
    for _ in 0..60 {
        world.pass(Duration::from_secs(60));
        assert!(world.handshake_age(0, 1).unwrap() <= Duration::from_secs(150));
    }
}

#[test]
fn a_quiet_tunnel_comes_back_after_every_outage() {
    for outage_seconds in [20, 130, 600] {
        let mut world = World::of(2, 25);
        world.pass(Duration::from_secs(10));
        world.passes = Box::new(|_, _| false);
        world.pass(Duration::from_secs(outage_seconds));
        world.passes = Box::new(|_, _| true);
        world.pass(Duration::from_secs(30));
        assert!(world.arrives(0, 1) && world.arrives(1, 0), "after {outage_seconds} s");
    }
}

#[test]
fn hosts_that_start_one_after_the_other_find_each_other_within_two_seconds() {
    let mut world = World::of(3, 25);
    world.passes = Box::new(|_, _| false);
    world.pass(Duration::from_secs(7));
    world.passes = Box::new(|_, _| true);
    world.pass(Duration::from_secs(2));
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        assert!(world.arrives(from, to), "from {from} to {to}");
    }
}

/// A header of 20 bytes that says that header and content have 5.
#[test]
fn a_packet_that_claims_less_than_its_header_is_nobodys() {
    let mut world = World::of(2, 25);
    world.pass(Duration::from_secs(2));
    for claimed in 0..20 {
        let mut short = packet(world.hosts[0].inside, world.hosts[1].inside, 100);
        short[1] = 2;
        short[2..4].copy_from_slice(&u16::to_be_bytes(claimed));
        world.mark = Ecn::from_bits(3);
        let before = world.hosts[1].arrived.len();
        world.send_this(0, short);
        assert_eq!(world.hosts[1].arrived.len(), before, "{claimed} bytes");
        world.mark = Ecn::default();
        assert!(world.arrives(0, 1), "after {claimed} bytes");
    }
}

#[test]
fn an_outage_is_not_a_storm() {
    let mut world = World::of(2, 25);
    world.passes = Box::new(|_, _| false);
    world.sent = 0;
    world.pass(Duration::from_secs(600));
    // Two hosts, one try in five seconds each, and as many again to spare.
    assert!(world.sent > 100 && world.sent < 2 * 2 * 600 / 5, "{}", world.sent);
}

#[test]
fn nothing_is_sent_to_a_peer_that_nobody_wants() {
    let mut world = World::of(2, 0);
    world.sent = 0;
    world.pass(Duration::from_secs(3600));
    assert_eq!(world.sent, 0);
}

#[test]
fn half_of_the_datagrams_lost_is_no_end() {
    let mut world = World::of(2, 5);
    let mut count = 0_u32;
    world.passes = Box::new(move |_, _| {
        count = count.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        count >> 31 == 0
    });
    for _ in 0..20 {
        world.pass(Duration::from_secs(60));
        assert!((0..20).any(|_| world.arrives(0, 1)));
    }
}

#[test]
fn changes_of_a_peer_end_no_session() {
    let mut world = World::of(2, 0);
    assert!(world.arrives(0, 1));
    let before = world.peer(0, 1);
    world.pass(Duration::from_secs(30));
    let change = PeerChange {
        keepalive_seconds: Some(7),
        preshared_key: Some(Some(PresharedKey::generate())),
        addresses: Some(AddressesChange::Replace(vec![world.range(1), "10.8.0.0/16".parse().unwrap()])),
        ..world.change(1)
    };
    world.apply(0, &Change::Peer(change));
    assert!(world.arrives(0, 1) && world.arrives(1, 0), "the session goes on");
    let after = world.peer(0, 1);
    assert_eq!(after.last_handshake, before.last_handshake);
    assert!(after.sent_bytes > before.sent_bytes && after.keepalive_seconds == 7);
}

#[test]
fn a_preshared_key_takes_over_at_the_next_handshake_and_holds_strangers_off() {
    let mut world = World::of(2, 25);
    world.pass(Duration::from_secs(6));
    let key = PresharedKey::generate();
    for (at, of) in [(0, 1), (1, 0)] {
        let change = PeerChange { preshared_key: Some(Some(key.clone())), ..world.change(of) };
        world.apply(at, &Change::Peer(change));
        assert!(world.arrives(0, 1) && world.arrives(1, 0));
    }
    world.pass(Duration::from_secs(200));
    assert!(world.handshake_age(0, 1).unwrap() < Duration::from_secs(60), "renewed with the key");
    assert!(world.arrives(0, 1) && world.arrives(1, 0));

    let other = PeerChange { preshared_key: Some(Some(PresharedKey::generate())), ..world.change(1) };
    world.apply(0, &Change::Peer(other));
    world.pass(Duration::from_secs(400));
    assert!(!world.arrives(0, 1) && !world.arrives(1, 0), "two different keys");
}

#[test]
fn a_preshared_key_that_both_have_is_proven_at_once() {
    let mut world = World::of(2, 25);
    world.pass(Duration::from_secs(6));
    let before = world.peer(0, 1).last_handshake;
    let key = PresharedKey::generate();
    for (at, of) in [(0, 1), (1, 0)] {
        assert_eq!(world.peer(0, 1).last_handshake, before, "one end alone proves nothing");
        let change = PeerChange { preshared_key: Some(Some(key.clone())), ..world.change(of) };
        world.apply(at, &Change::Peer(change));
    }
    assert_eq!(world.handshake_age(0, 1), Some(Duration::ZERO));
    assert_eq!(world.handshake_age(1, 0), Some(Duration::ZERO));
    assert!(world.arrives(0, 1) && world.arrives(1, 0));
}

#[test]
fn another_private_key_is_taken_up_by_those_who_know_it() {
    let mut world = World::of(2, 25);
    world.pass(Duration::from_secs(6));
    let former = world.change(0).public_key;
    let key = PrivateKey::generate();
    world.hosts[0].private_key = key.clone();
    world.apply(0, &Change::PrivateKey(Some(key)));
    let change = PeerChange {
        endpoint: Some(world.hosts[0].outside),
        keepalive_seconds: Some(25),
        addresses: Some(AddressesChange::Replace(vec![world.range(0)])),
        ..world.change(0)
    };
    world.apply(1, &Change::Peer(change));
    world.apply(1, &Change::RemovePeer(former));
    world.pass(Duration::from_secs(6));
    assert!(world.arrives(0, 1) && world.arrives(1, 0));
}

#[test]
fn another_private_key_waits_for_no_handshake_that_is_under_way() {
    let mut world = World::of(2, 25);
    world.passes = Box::new(|_, _| false);
    world.pass(Duration::from_secs(200));
    world.passes = Box::new(|_, _| true);
    let key = PrivateKey::generate();
    world.hosts[0].private_key = key.clone();
    let change = PeerChange { endpoint: Some(world.hosts[0].outside), ..world.change(0) };
    world.apply(1, &Change::Peer(change));
    world.apply(0, &Change::PrivateKey(Some(key)));
    assert_eq!(world.handshake_age(0, 1), Some(Duration::ZERO));
    assert_eq!(world.handshake_age(1, 0), Some(Duration::ZERO));
}

#[test]
fn a_peer_is_followed_to_where_it_speaks_from_and_no_forger_moves_it() {
    let mut world = World::of(3, 0);
    assert!(world.arrives(0, 1));
    world.hosts[0].outside = ([203, 0, 113, 7], 4711).into();
    assert!(!world.arrives(1, 0), "nobody has told yet");
    assert!(world.arrives(0, 1));
    assert_eq!(world.peer(1, 0).endpoint, Some(world.hosts[0].outside));
    assert!(world.arrives(1, 0));

    let forged = [4, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0].repeat(4);
    let datagram = Datagram { from: world.hosts[2].outside, ecn: Ecn::default(), bytes: &forged };
    let (mut out, mut inbox) = (Outbox::default(), Inbox::default());
    world.hosts[1].engine.on_udp_batch([datagram], moment(), &mut out, &mut inbox);
    assert_eq!(world.peer(1, 0).endpoint, Some(world.hosts[0].outside));
}

#[test]
fn an_address_that_is_anothers_is_not_taken_from_a_peer() {
    let mut world = World::of(3, 0);
    assert!(world.arrives(0, 1));
    // The range of host 0 is given to host 2: what host 0 sends is foreign now.
    let change = PeerChange {
        addresses: Some(AddressesChange::Alter { more: vec![world.range(0)], less: vec![] }),
        ..world.change(2)
    };
    world.apply(1, &Change::Peer(change));
    assert!(!world.arrives(0, 1));
    assert_eq!(world.hosts[1].engine.rejected().foreign_source, 1);
    assert_eq!(world.peer(1, 0).addresses, []);
}

#[test]
fn a_peer_that_comes_before_the_key_waits_for_it() {
    let mut world = World::of(2, 5);
    let key = world.hosts[0].private_key.clone();
    world.apply(0, &Change::PrivateKey(None));
    world.pass(Duration::from_secs(10));
    assert!(!world.arrives(0, 1));
    world.apply(0, &Change::PrivateKey(Some(key)));
    world.pass(Duration::from_secs(6));
    assert!(world.arrives(0, 1) && world.arrives(1, 0));
}

#[test]
fn a_flood_of_handshakes_is_answered_with_cookies() {
    let mut world = World::of(2, 0);
    let initiation = {
        let mut out = Outbox::default();
        let mut buffer = vec![packet([10, 9, 0, 0], [10, 9, 0, 1], 100)];
        world.hosts[0].engine.on_tun_batch(&mut buffer, &[100], moment(), &mut out);
        out.runs().next().unwrap().bytes().to_vec()
    };
    let from = world.hosts[0].outside;
    let mut cookies = 0;
    for _ in 0..300 {
        let (mut out, mut inbox) = (Outbox::default(), Inbox::default());
        let datagram = Datagram { from, ecn: Ecn::default(), bytes: &initiation };
        world.hosts[1].engine.on_udp_batch([datagram], moment(), &mut out, &mut inbox);
        cookies += out.runs().filter(|run| run.bytes()[0] == 3).count();
    }
    assert_eq!(cookies, 200);
}
