//! A rotation on a model of three interfaces: any order of steps, crashes, and servers that are away.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use sb_topology::ServerName;
use sb_wireguard::rotation::{
    Action, Done, Facts, Owner, Progress, Record, SWAP_MS_MAX, Step, follow, progress,
};
use sb_wireguard::{
    AllowedIp, DesiredInterface, DesiredPeer, ObservedInterface, PeerKind, PrivateKey, PublicKey, plan,
};

use crate::model::apply;

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// The owner's agent looks at its facts, and acts.
    Owner,
    /// It is killed, and reads its state again.
    Crash,
    /// A server reads the record and reconciles.
    Peer(usize),
    /// A server shakes hands with whatever key the owner has.
    Handshake(usize),
    /// A server goes away, or comes back.
    Away(usize),
}

struct World {
    owner: Option<Owner>,
    saved: Option<String>,
    done: Done,
    record: Option<Record>,
    key: PublicKey,
    documented: PublicKey,
    discarded: Option<PublicKey>,
    peers: Vec<(ServerName, bool, ObservedInterface)>,
    seconds: u64,
}

fn name(text: &str) -> ServerName {
    ServerName::new(text).expect("a name")
}

fn keys() -> (PublicKey, PublicKey) {
    (PublicKey::from_bytes([1; 32]), PublicKey::from_bytes([2; 32]))
}

fn address() -> AllowedIp {
    "10.0.0.1/32".parse().expect("a range")
}

fn desired(key: PublicKey) -> DesiredInterface {
    DesiredInterface {
        server: name("peer"),
        name: "sb0".to_owned(),
        mtu: 1420,
        listen_port: 0,
        address: "10.0.0.9/32".parse().expect("a range"),
        peers: vec![DesiredPeer {
            name: name("owner"),
            kind: PeerKind::Server,
            public_key: key,
            preshared_key: None,
            endpoints: Vec::new(),
            keepalive_seconds: 25,
            addresses: vec![address()],
        }],
        without_key: Vec::new(),
    }
}

impl World {
    fn new() -> Self {
        let (old, new) = keys();
        let owner = Owner::begin(name("owner"), old, new);
        let peer = |at| (name(&format!("p{at}")), true, ObservedInterface::default());
        let mut world = Self {
            saved: Some(owner.to_string()),
            owner: Some(owner),
            done: Done::Unknown,
            record: None,
            key: old,
            documented: old,
            discarded: None,
            peers: (0..3).map(peer).collect(),
            seconds: 1_000_000,
        };
        (0..3).for_each(|at| world.reconcile(at));
        (0..3).for_each(|at| world.shake_hands(at));
        world
    }

    fn step(&mut self, event: Event) {
        self.seconds += 1;
        match event {
            Event::Owner => self.run_owner(0),
            Event::Crash => {
                self.owner = self.saved.as_ref().map(|text| text.parse().expect("what was written"));
                self.done = Done::Unknown;
                if let Some(owner) = &self.owner {
                    self.key = owner.own_key();
                }
            }
            Event::Peer(at) if self.peers[at].1 => self.reconcile(at),
            Event::Handshake(at) if self.peers[at].1 => self.shake_hands(at),
            Event::Away(at) => self.peers[at].1 = !self.peers[at].1,
            Event::Peer(_) | Event::Handshake(_) => {}
        }
    }

    fn run_owner(&mut self, step_ms: u64) {
        let Some(owner) = self.owner.clone() else { return };
        self.act(&owner);
        if self.owner.is_none() {
            return;
        }
        if let Some(next) = owner.next(&self.facts(step_ms)) {
            self.saved = Some(next.to_string());
            self.owner = Some(next);
            self.done = Done::Unknown;
        }
    }

    fn act(&mut self, owner: &Owner) {
        match owner.action() {
            Action::Announce { record, key } => (self.record, self.key) = (Some(record), key),
            Action::UseKey(key) => self.key = key,
            Action::Settle { keep, discard } => {
                self.documented = keep;
                self.record = None;
                self.discarded = Some(discard);
                (self.owner, self.saved) = (None, None);
            }
        }
        self.done = Done::Yes;
    }

    fn facts(&self, step_ms: u64) -> Facts {
        let present = self.peers.iter().filter(|(_, there, _)| *there).map(|(name, ..)| name.clone());
        let record = self.record.as_ref();
        let progress_of = |(name, _, observed): &(ServerName, bool, ObservedInterface)| {
            Some((name.clone(), progress(record?, observed)))
        };
        Facts {
            progress: self.peers.iter().filter_map(progress_of).collect(),
            present: present.collect(),
            others: self.peers.len(),
            step_ms,
            done: self.done,
        }
    }

    fn reconcile(&mut self, at: usize) {
        let mut desired = desired(self.documented);
        let observed = &mut self.peers[at].2;
        if let Some(record) = &self.record {
            follow(record, &mut desired, observed);
        }
        let target = desired.target(0, &PrivateKey::from_bytes([9; 32]), |_| Vec::new());
        let plan = plan(&target, observed, Duration::from_secs(self.seconds)).expect("a target");
        plan.changes.iter().for_each(|change| apply(observed, change));
    }

    fn shake_hands(&mut self, at: usize) {
        let (key, now) = (self.key, Duration::from_secs(self.seconds));
        if let Some(peer) = self.peers[at].2.peers.iter_mut().find(|peer| peer.public_key == key) {
            peer.last_handshake = Some(now);
        }
    }

    /// Whether packets between the owner and this server come through.
    fn talks(&self, at: usize) -> bool {
        self.peers[at].2.peer(&self.key).is_some_and(|peer| peer.addresses.contains(&address()))
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => Just(Event::Owner),
        1 => Just(Event::Crash),
        4 => (0..3usize).prop_map(Event::Peer),
        4 => (0..3usize).prop_map(Event::Handshake),
        1 => (0..3usize).prop_map(Event::Away),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_a_rotation_ends_and_everybody_talks(events in vec(event(), 0..120)) {
        let mut world = World::new();
        for event in &events {
            world.step(*event);
            prop_assert_ne!(world.discarded, Some(world.key), "the key in use was thrown away");
        }
        world.peers.iter_mut().for_each(|(_, there, _)| *there = true);
        for _ in 0..12 {
            (0..3).for_each(|at| world.step(Event::Peer(at)));
            (0..3).for_each(|at| world.step(Event::Handshake(at)));
            (0..3).for_each(|at| world.step(Event::Peer(at)));
            world.step(Event::Owner);
        }
        prop_assert_eq!(&world.owner, &None);
        prop_assert_eq!(world.documented, world.key);
        for at in 0..3 {
            prop_assert!(world.talks(at), "{events:?}");
            prop_assert_eq!(world.peers[at].2.peers.len(), 1);
        }
    }

    #[test]
    fn no_text_makes_the_reader_of_a_state_panic(text in "(announce|swap|finish|\\PC{0,9}) ?[a-z]{0,3} ?\\PC{0,90}") {
        let _ = text.parse::<Owner>();
    }
}

#[test]
fn the_key_is_not_swapped_before_all_that_are_there_have_it() {
    let mut world = World::new();
    world.step(Event::Owner);
    world.step(Event::Peer(0));
    world.step(Event::Peer(1));
    world.step(Event::Owner);
    assert_eq!(world.key, keys().0);
    world.step(Event::Away(2));
    world.step(Event::Owner);
    world.step(Event::Owner);
    assert_eq!(world.key, keys().1);
}

#[test]
fn a_swap_that_nobody_follows_is_taken_back() {
    let (old, new) = keys();
    let owner = Owner { step: Step::Swap, ..Owner::begin(name("owner"), old, new) };
    let prepared = BTreeMap::from([(name("p0"), Progress::Prepared)]);
    let present = prepared.keys().cloned().collect();
    let facts = Facts { progress: prepared, present, others: 1, step_ms: SWAP_MS_MAX, done: Done::Yes };
    let back = owner.next(&facts).unwrap();
    assert_eq!((back.step, back.own_key()), (Step::TurnBack, old));
    assert_eq!(back.next(&facts).map(|end| end.action()), Some(Action::Settle { keep: old, discard: new }));
}
