//! A pair with real files at both ends, and everything else as a model: a line on which two shake hands when they use the same
//! secret, and words that arrive while there is a way. Either agent is killed after every single step.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use sb_topology::ServerName;
use sb_wireguard::preshared::{APPLY_MS_MAX, Facts, Line, Shared, Trial, Turn};
use sb_wireguard::{PresharedKey, PresharedMark};
use tempfile::TempDir;

use super::PairFile;
use crate::Layout;

/// More steps than any replacement takes.
const STEPS_MAX: u64 = 80;

/// What one step takes, in milliseconds: a few of them are a turn of a trial, and 40 a step that is given up.
const STEP_MS: u64 = 5_000;

/// One of the two servers.
struct End {
    _directory: TempDir,
    layout: Layout,
    peer: ServerName,
    file: PairFile,
    facts: Facts,
    trial: Trial,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Maker,
    Taker,
}

struct World {
    maker: End,
    taker: End,
    /// Whether words come through beside the line.
    words: bool,
    /// Whether handshakes do.
    line: bool,
    steps: u64,
}

impl End {
    fn new(peer: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().to_owned();
        let layout = Layout::new(at.clone(), at.clone(), at);
        let file = PairFile::open(&layout).unwrap();
        let (peer, facts, trial) = (peer.parse().unwrap(), Facts::default(), Trial::default());
        Self { _directory: directory, layout, peer, file, facts, trial }
    }

    fn shared(&self) -> Shared {
        self.file.of(&self.peer).shared
    }

    fn store(&mut self, shared: Shared, now: Duration) {
        self.file.store(&self.peer, shared).unwrap();
        (self.facts.in_force_at, self.facts.step_ms) = (Some(now), 0);
    }

    /// The agent is killed in the middle of writing its file anew, and starts again.
    fn crash(&mut self, now: Duration) {
        let path = self.layout.mesh_preshared_file();
        std::fs::write(path.with_file_name(".wireguard_preshared.draft"), "half a sec").unwrap();
        self.file = PairFile::open(&self.layout).unwrap();
        let files = std::fs::read_dir(self.layout.config_dir()).unwrap().count();
        assert!(files <= 1, "nothing of the draft is left");
        self.facts = Facts { in_force_at: Some(now), ..Facts::default() };
        self.trial = Trial::default();
    }
}

impl World {
    fn new() -> Self {
        let (maker, taker) = (End::new("tucson-1"), End::new("ravena-1"));
        let mut world = Self { maker, taker, words: true, line: true, steps: 0 };
        world.shake_hands();
        world
    }

    fn now(&self) -> Duration {
        Duration::from_secs(1_000_000) + Duration::from_millis(self.steps * STEP_MS)
    }

    fn begin(&mut self) {
        let begun = self.maker.shared().begun(PresharedKey::generate()).expect("none is under way");
        let now = self.now();
        self.maker.store(begun, now);
    }

    /// One step of each end, and a handshake.
    fn step(&mut self) {
        self.steps += 1;
        let now = self.now();
        self.maker.facts.step_ms += STEP_MS;
        self.maker.facts.now = now;
        match self.maker.shared().turn(&self.maker.facts) {
            Turn::Rest => {}
            Turn::Become(next) => self.maker.store(next, now),
            Turn::Renew => self.begin(),
        }
        if self.words {
            let before = self.taker.shared();
            let after = before.following(&self.maker.shared().word());
            if after != before {
                self.taker.store(after.clone(), now);
            }
            self.maker.facts.answer = Some(after.answer());
        }
        let heard = self.taker.facts.last_handshake.is_some_and(|at| now - at < Duration::from_secs(135));
        let line = if heard { Line::Heard } else { Line::Silent };
        let shared = self.taker.shared();
        // The trial may count from any moment.
        self.taker.trial.look(&shared, line, Instant::now() + now);
        self.shake_hands();
    }

    fn used(&self) -> (Option<PresharedMark>, Option<PresharedMark>) {
        let taker = self.taker.shared();
        let mark = |key: Option<&PresharedKey>| key.map(PresharedKey::mark);
        (mark(self.maker.shared().in_force()), mark(self.taker.trial.in_force(&taker)))
    }

    fn shake_hands(&mut self) {
        let (one, other) = self.used();
        if self.line && one == other {
            let now = self.now();
            for end in [&mut self.maker, &mut self.taker] {
                end.facts.last_handshake = Some(now);
            }
        }
    }

    /// A line that somebody cuts is cut for words too where there is no third server.
    fn cut(&mut self, is_cut: bool) {
        (self.line, self.words) = (!is_cut, !is_cut);
    }

    fn kill(&mut self, of: Of) {
        let now = self.now();
        match of {
            Of::Maker => self.maker.crash(now),
            Of::Taker => self.taker.crash(now),
        }
    }

    fn is_over(&self) -> bool {
        self.maker.shared().next.is_none() && self.maker.shared() == self.taker.shared()
    }

    /// Runs until both keep the same; how many steps that took.
    fn run(&mut self) -> u64 {
        let begun = self.steps;
        while !self.is_over() {
            self.step();
            assert!(self.steps - begun < STEPS_MAX, "{:?} {:?}", self.maker.shared(), self.taker.shared());
        }
        self.steps - begun
    }

    fn is_whole(&mut self) {
        self.step();
        assert_eq!(self.maker.facts.last_handshake, Some(self.now()), "they shake hands");
        let (one, other) = self.used();
        assert!(one == other && one.is_some(), "{one:?} {other:?}");
        for end in [&self.maker, &self.taker] {
            assert!(end.file.of(&end.peer).since.is_some());
            let path = end.layout.mesh_preshared_file();
            assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
        }
    }
}

#[test]
fn a_pair_ends_with_the_new_key_wherever_an_agent_is_killed() {
    for earlier in [0, 1] {
        let prepared = || {
            let mut world = World::new();
            for _ in 0..earlier {
                world.begin();
                world.run();
            }
            world.begin();
            world
        };
        let mut world = prepared();
        let new = world.maker.shared().next.unwrap().key.mark();
        let steps = world.run();
        world.is_whole();
        assert_eq!(world.used().0, Some(new));
        for killed_after in 0..=steps {
            for of in [Of::Maker, Of::Taker] {
                let mut world = prepared();
                let new = world.maker.shared().next.unwrap().key.mark();
                (0..killed_after).for_each(|_| world.step());
                world.kill(of);
                world.run();
                world.is_whole();
                assert_eq!(world.used().0, Some(new), "{of:?} killed after {killed_after}");
            }
        }
    }
}

#[test]
fn a_pair_that_is_cut_in_any_step_and_for_a_day_talks_again_and_agrees() {
    for cut_after in 0..6 {
        for kill in [None, Some(Of::Maker), Some(Of::Taker)] {
            let mut world = World::new();
            world.begin();
            (0..cut_after).for_each(|_| world.step());
            world.cut(true);
            (0..60).for_each(|_| world.step());
            world.steps += 24 * 3_600_000 / STEP_MS;
            (0..60).for_each(|_| world.step());
            kill.into_iter().for_each(|of| world.kill(of));
            // At first only the line is back: no word comes through before a handshake.
            world.line = true;
            let back = world.steps;
            while world.maker.facts.last_handshake != Some(world.now()) {
                world.step();
                assert!((world.steps - back) * STEP_MS <= APPLY_MS_MAX, "cut after {cut_after}, {kill:?}");
            }
            world.words = true;
            world.run();
            let (one, other) = world.used();
            assert_eq!(one, other);
        }
    }
}

#[test]
fn a_server_whose_file_is_gone_gets_a_new_key_by_another_way() {
    for of in [Of::Maker, Of::Taker] {
        let mut world = World::new();
        world.begin();
        world.run();
        let before = world.used().0;
        let end = if of == Of::Maker { &world.maker } else { &world.taker };
        std::fs::remove_file(end.layout.mesh_preshared_file()).unwrap();
        world.kill(of);
        world.step();
        world.run();
        world.is_whole();
        assert_ne!(world.used().0, before);
    }
}

#[test]
fn a_damaged_file_is_not_guessed_at_and_its_secrets_are_not_told() {
    let mut world = World::new();
    world.begin();
    let path = world.maker.layout.mesh_preshared_file();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("offer", "offre")).unwrap();
    let error = PairFile::open(&world.maker.layout).unwrap_err();
    let told = crate::postgres::chain(&error);
    assert!(told.contains("line 1"), "{told}");
    assert!(text.split_whitespace().filter(|word| word.len() > 40).all(|word| !told.contains(word)));
}
