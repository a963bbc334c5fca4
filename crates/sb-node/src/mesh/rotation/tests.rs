//! A rotation with real files, and everything else as a model: interfaces that take what they are told at once, and a
//! store that agrees to every proposal. The owner's agent is killed after every single turn.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use sb_topology::{Documents, NetworkSettings, ServerName, Topology};
use sb_wireguard::rotation::{Progress, SWAP_MS_MAX, Step, follow, progress};
use sb_wireguard::{DesiredInterface, Keyring, ObservedInterface, ObservedPeer, PublicKey};
use tempfile::TempDir;

use super::RotationFiles;
use super::owner::{OwnRotation, RotateError, Seen, Turn};
use crate::Layout;
use crate::mesh::agreed::Agreed;
use crate::mesh::load_or_make_key;
use crate::mesh::wanted::Wanted;

/// More turns than any rotation takes.
const TURNS_MAX: u32 = 60;

/// What the followers do meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Followers {
    Follow,
    /// They add the new key, and no packet of it reaches them.
    Deaf,
}

/// Whether the agent's copy of the agreement was written before it was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copy {
    Written,
    Stale,
}

struct World {
    _directory: TempDir,
    layout: Layout,
    topology: Topology,
    owner: OwnRotation,
    /// In the store, and before its last change.
    agreed: Agreed,
    agreed_before: Agreed,
    interface: PublicKey,
    peers: Vec<Peer>,
    seconds: u64,
    waited_ms: u64,
}

struct Peer {
    name: ServerName,
    is_there: bool,
    interface: ObservedInterface,
    agreed: Agreed,
}

fn name(text: &str) -> ServerName {
    text.parse().unwrap()
}

fn topology(keys: &[(&str, PublicKey)]) -> Topology {
    let mut sites = String::new();
    for (at, (server, key)) in keys.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let role = if at == 0 { "primary" } else { "replica" };
        write!(
            sites,
            r#"{comma}"site{at}": {{"enabled": true, "role": "{role}", "servers": [{{"name": "{server}",
                "ip": "192.0.2.{at}", "wireguardIp": "10.0.{at}.1", "publicKey": "{key}"}}]}}"#,
        )
        .unwrap();
    }
    let sites = format!("{{{sites}}}");
    sb_topology::load(Documents { sites: Some(sites.as_bytes()), ..Documents::default() }).unwrap().topology
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let layout = Layout::new(at("config"), at("state"), at("run"));
        std::fs::create_dir(layout.config_dir()).unwrap();
        std::fs::create_dir(layout.state_dir()).unwrap();
        let key = load_or_make_key(&layout.mesh_key_file()).unwrap().public_key();
        let other = |byte| sb_wireguard::PrivateKey::from_bytes([byte; 32]).public_key();
        let topology = topology(&[("owner", key), ("peer-1", other(1)), ("peer-2", other(2))]);
        let owner = open(&layout, key, &Agreed::default());
        let peer = |text| Peer {
            name: name(text),
            is_there: true,
            interface: ObservedInterface::default(),
            agreed: Agreed::default(),
        };
        let peers = vec![peer("peer-1"), peer("peer-2")];
        let mut world = Self {
            _directory: directory,
            layout,
            topology,
            owner,
            agreed: Agreed::default(),
            agreed_before: Agreed::default(),
            interface: key,
            peers,
            seconds: 1_000_000,
            waited_ms: 0,
        };
        world.the_others_look();
        world
    }

    fn documented(&self) -> PublicKey {
        PublicKey::from(self.topology.server(&name("owner")).unwrap().public_key.as_ref().unwrap())
    }

    /// The owner's agent is killed, and starts again.
    fn crash(&mut self, copy: Copy) {
        let agreed = if copy == Copy::Written { &self.agreed } else { &self.agreed_before };
        self.owner = open(&self.layout, self.documented(), agreed);
        let keyring = Keyring { replaced: agreed.keys.clone(), ..Keyring::default() };
        let known_by = self.owner.known_by(agreed);
        let settings = NetworkSettings::default();
        DesiredInterface::new(&self.topology, &settings, &name("owner"), &known_by, &keyring)
            .expect("the agent comes up with the keys that it finds");
        self.interface = self.owner.private_key().public_key();
    }

    /// One turn of the owner. False once it rests.
    fn turn(&mut self) -> bool {
        let record = self.agreed.rotation.clone();
        let heard = self.peers.iter().filter(|peer| peer.is_there && self.hears(peer));
        let follower = |peer: &Peer| {
            let known = record.as_ref().filter(|_| peer.agreed.rotation == record);
            (peer.name.clone(), known.map_or(Progress::Unaware, |it| progress(it, &peer.interface)))
        };
        let seen = Seen {
            agreed: &self.agreed,
            followers: heard.map(follower).collect::<BTreeMap<_, _>>(),
            others: self.peers.len(),
            interface: Some(self.interface),
            now: Instant::now() + Duration::from_millis(self.waited_ms),
        };
        match self.owner.turn(&seen).unwrap() {
            Turn::Propose(agreed) => {
                self.agreed_before = std::mem::replace(&mut self.agreed, agreed);
            }
            Turn::Again | Turn::Stepped(_) => {}
            Turn::Rest if self.owner.line().is_some() => {}
            Turn::Rest | Turn::Ended(_) => return false,
        }
        self.interface = self.owner.private_key().public_key();
        true
    }

    /// Whether packets between the owner and this server come through.
    fn hears(&self, peer: &Peer) -> bool {
        peer.interface.peer(&self.interface).is_some_and(|it| !it.addresses.is_empty())
    }

    fn the_others_look(&mut self) {
        for at in 0..self.peers.len() {
            self.look(at);
        }
    }

    /// A server hears of the agreement from anybody, and puts its interface right.
    fn look(&mut self, at: usize) {
        if !self.peers[at].is_there {
            return;
        }
        self.peers[at].agreed = self.agreed.clone();
        let peer = &self.peers[at];
        let keyring = Keyring { replaced: self.agreed.keys.clone(), ..Keyring::default() };
        let own = PublicKey::from(self.topology.server(&peer.name).unwrap().public_key.as_ref().unwrap());
        let settings = NetworkSettings::default();
        let mut desired =
            DesiredInterface::new(&self.topology, &settings, &peer.name, &own, &keyring).unwrap();
        if let Some(record) = &self.agreed.rotation {
            follow(record, &mut desired, &peer.interface);
        }
        let before = std::mem::take(&mut self.peers[at].interface);
        let peers = desired.peers.into_iter().map(|wanted| ObservedPeer {
            addresses: wanted.addresses,
            last_handshake: before.peer(&wanted.public_key).and_then(|peer| peer.last_handshake),
            ..ObservedPeer::new(wanted.public_key)
        });
        self.peers[at].interface.peers = peers.collect();
    }

    /// Every server that has the owner's key as a peer shakes hands with it.
    fn shake_hands(&mut self, followers: Followers) {
        let deaf = followers == Followers::Deaf && self.interface != self.documented();
        if deaf {
            return;
        }
        self.seconds += 1;
        for peer in self.peers.iter_mut().filter(|peer| peer.is_there) {
            if let Some(known) = peer.interface.peers.iter_mut().find(|it| it.public_key == self.interface) {
                known.last_handshake = Some(Duration::from_secs(self.seconds));
            }
        }
    }

    fn round(&mut self, followers: Followers) -> bool {
        let goes_on = self.turn();
        self.shake_hands(followers);
        self.the_others_look();
        goes_on
    }

    /// Runs it to the end, with the agent killed after turn `crash`; how many turns it took.
    fn run(&mut self, followers: Followers, crash: Option<(u32, Copy)>) -> u32 {
        for turn in 1..=TURNS_MAX {
            // Waiting costs nothing here: a step that nobody follows is soon as old as can be.
            self.waited_ms += if followers == Followers::Deaf { SWAP_MS_MAX / 4 } else { 100 };
            let goes_on = self.round(followers);
            if let Some((_, copy)) = crash.filter(|(at, _)| *at == turn) {
                self.crash(copy);
            } else if !goes_on {
                return turn;
            }
        }
        panic!("it has not ended after {TURNS_MAX} turns: {:?}", self.owner.line());
    }

    /// Everybody talks by one key, which is the server's only one.
    fn is_whole_with(&mut self, key: PublicKey) {
        self.shake_hands(Followers::Follow);
        self.the_others_look();
        assert_eq!(self.interface, key);
        assert_eq!(self.agreed.rotation, None);
        for peer in &self.peers {
            assert!(self.hears(peer), "`{}` does not hear {key}", peer.name);
            assert_eq!(peer.interface.peers.len(), 2, "no key is left over");
        }
        let files = |directory| std::fs::read_dir(directory).unwrap().count();
        assert_eq!(files(self.layout.config_dir()), 1, "the key file is the only one");
        assert_eq!(files(self.layout.state_dir()), 0, "the line is gone");
        assert_eq!(load_or_make_key(&self.layout.mesh_key_file()).unwrap().public_key(), key);
    }
}

fn open(layout: &Layout, documented: PublicKey, agreed: &Agreed) -> OwnRotation {
    OwnRotation::open(&name("owner"), Some(documented), RotationFiles::new(layout), agreed).unwrap()
}

#[test]
fn a_rotation_ends_with_the_new_key_wherever_the_agent_is_killed() {
    let mut world = World::new();
    let new = world.owner.begin(&world.agreed).unwrap();
    let turns = world.run(Followers::Follow, None);
    world.is_whole_with(new);
    assert_ne!(new, world.documented());
    for crash in 1..=turns {
        for copy in [Copy::Written, Copy::Stale] {
            let mut world = World::new();
            let new = world.owner.begin(&world.agreed).unwrap();
            world.run(Followers::Follow, Some((crash, copy)));
            world.is_whole_with(new);
        }
    }
}

#[test]
fn a_rotation_that_nobody_follows_ends_with_the_old_key_wherever_the_agent_is_killed() {
    let mut world = World::new();
    world.owner.begin(&world.agreed).unwrap();
    let turns = world.run(Followers::Deaf, None);
    let old = world.documented();
    world.is_whole_with(old);
    for crash in 1..=turns {
        for copy in [Copy::Written, Copy::Stale] {
            let mut world = World::new();
            world.owner.begin(&world.agreed).unwrap();
            world.run(Followers::Deaf, Some((crash, copy)));
            let old = world.documented();
            world.is_whole_with(old);
        }
    }
}

#[test]
fn a_key_that_was_made_and_not_told_is_thrown_away() {
    let mut world = World::new();
    RotationFiles::new(&world.layout).make_new().unwrap();
    world.crash(Copy::Written);
    assert!(!world.turn());
    let old = world.documented();
    world.is_whole_with(old);
}

#[test]
fn a_server_that_was_away_finds_its_way_back() {
    for returns_after in 0..TURNS_MAX / 4 {
        let mut world = World::new();
        let new = world.owner.begin(&world.agreed).unwrap();
        world.peers[1].is_there = false;
        let mut goes_on = true;
        for turn in 0..TURNS_MAX {
            world.peers[1].is_there |= turn == returns_after;
            goes_on &= world.round(Followers::Follow);
        }
        assert!(!goes_on);
        world.is_whole_with(new);
    }
}

#[test]
fn a_rotation_can_be_abandoned_until_the_interface_goes_over() {
    let mut world = World::new();
    assert!(matches!(world.owner.abandon(), Err(RotateError::NoneGoesOn)));
    world.owner.begin(&world.agreed).unwrap();
    assert!(matches!(world.owner.begin(&world.agreed), Err(RotateError::Busy(_))));
    world.round(Followers::Follow);
    world.owner.abandon().unwrap();
    world.run(Followers::Follow, None);
    let old = world.documented();
    world.is_whole_with(old);

    let new = world.owner.begin(&world.agreed).unwrap();
    while world.owner.line().unwrap().step != Step::Swap {
        world.round(Followers::Follow);
    }
    assert!(matches!(world.owner.abandon(), Err(RotateError::TooLate)));
    world.run(Followers::Follow, None);
    world.is_whole_with(new);
}

#[test]
fn the_slower_of_two_owners_withdraws() {
    let mut world = World::new();
    world.owner.begin(&world.agreed).unwrap();
    let other = |byte| PublicKey::from_bytes([byte; 32]);
    let theirs = sb_wireguard::rotation::Record { server: name("peer-1"), old: other(8), new: other(9) };
    world.agreed.rotation = Some(theirs.clone());
    while world.turn() {}
    assert_eq!(world.agreed.rotation, Some(theirs));
    assert_eq!(world.owner.line(), None);
    assert_eq!(world.interface, world.documented());
}

#[test]
fn a_proposal_that_was_given_up_and_agreed_on_later_is_withdrawn() {
    let mut world = World::new();
    world.owner.begin(&world.agreed).unwrap();
    world.round(Followers::Follow);
    let late = world.agreed.clone();
    world.owner.abandon().unwrap();
    world.run(Followers::Follow, None);
    world.agreed = late;
    world.run(Followers::Follow, None);
    let old = world.documented();
    world.is_whole_with(old);
}

#[test]
fn a_second_rotation_follows_the_first() {
    let mut world = World::new();
    for _ in 0..2 {
        let new = world.owner.begin(&world.agreed).unwrap();
        world.run(Followers::Follow, None);
        world.is_whole_with(new);
        assert_eq!(world.agreed.keys, BTreeMap::from([(name("owner"), new)]));
    }
}

#[test]
fn a_key_that_took_its_place_already_may_take_it_again() {
    let world = World::new();
    let files = RotationFiles::new(&world.layout);
    let new = files.make_new().unwrap().public_key();
    files.settle_new(&new).unwrap();
    files.settle_new(&new).unwrap();
    assert!(files.settle_new(&world.documented()).is_err(), "that key is gone");
}

#[test]
fn a_member_whose_documents_name_another_key_has_an_interface_under_its_own() {
    let keys = [1, 2].map(|byte| PublicKey::from_bytes([byte; 32]));
    let topology = topology(&[("owner", keys[0]), ("other", keys[1])]);
    let wanted = Wanted::new(&topology, &NetworkSettings::default(), &name("owner"));
    let kept = PublicKey::from_bytes([3; 32]);
    assert!(wanted.by_documents(&Agreed::default(), &kept).is_err());
    let desired = wanted.with_the_key(&kept).unwrap();
    assert_eq!(desired.peers.iter().map(|peer| peer.public_key).collect::<Vec<_>>(), [keys[1]]);
}
