//! The secret of a pair on a model of its two ends: any order of steps, words that are lost, late or repeated, crashes, and a
//! line that somebody cuts.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use sb_wireguard::PresharedKey;
use sb_wireguard::preshared::{APPLY_MS_MAX, Facts, Line, Shared, TRIAL_MS, Trial, Turn, Word};

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A person wants a new secret, or none after all.
    Begin,
    Abandon,
    /// The maker's agent looks at its facts, and acts.
    Maker,
    /// The maker's word reaches the taker; its answer comes back, or not.
    Word {
        answered: bool,
    },
    /// A word of before reaches the taker now.
    Late(usize),
    /// The two try a handshake.
    Handshake,
    /// An agent is killed: it forgets what is not on its disk.
    MakerCrash,
    TakerCrash,
    /// Somebody cuts the line between the two, or lets go of it.
    Cut,
    /// Time passes, in which nothing comes through.
    Silence,
}

#[derive(Debug, Default)]
struct World {
    /// On the two disks.
    maker: Shared,
    taker: Shared,
    facts: Facts,
    trial: Trial,
    said: Vec<Word>,
    is_cut: bool,
    /// Handshakes, and whether each had a secret.
    shaken: Vec<bool>,
    made: u8,
    seconds: u64,
}

/// By what the two reach each other, beside handshakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Words,
    /// Only the line.
    None,
}

impl World {
    fn new() -> Self {
        let mut world = Self { seconds: 1_000_000, ..Self::default() };
        world.shake_hands();
        world
    }

    fn now(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    fn key(&mut self) -> PresharedKey {
        self.made += 1;
        PresharedKey::from_bytes([self.made; 32]).expect("not zeros")
    }

    fn begin(&mut self) {
        let key = self.key();
        if let Some(begun) = self.maker.begun(key) {
            self.store(begun);
        }
    }

    /// On the maker's disk, and in its interface.
    fn store(&mut self, next: Shared) {
        if next.in_force() != self.maker.in_force() {
            self.facts.in_force_at = Some(self.now());
        }
        self.maker = next;
        self.facts.step_ms = 0;
    }

    fn step(&mut self, event: Event) {
        self.seconds += 1;
        self.facts.step_ms += 1_000;
        match event {
            Event::Begin => self.begin(),
            Event::Abandon => {
                if let Some(abandoned) = self.maker.abandoned() {
                    self.store(abandoned);
                }
            }
            Event::Maker => self.turn(),
            Event::Word { answered } => self.say(answered),
            Event::Late(at) if !self.said.is_empty() => {
                self.taker = self.taker.following(&self.said[at % self.said.len()]);
            }
            Event::Late(_) => {}
            Event::Handshake => self.shake_hands(),
            Event::MakerCrash => self.facts = Facts { in_force_at: Some(self.now()), ..Facts::default() },
            Event::TakerCrash => self.trial = Trial::default(),
            Event::Cut => self.is_cut = !self.is_cut,
            Event::Silence => {
                self.seconds += APPLY_MS_MAX / 1_000;
                self.facts.step_ms += APPLY_MS_MAX;
            }
        }
        self.look();
    }

    fn turn(&mut self) {
        self.facts.now = self.now();
        match self.maker.turn(&self.facts) {
            Turn::Rest => {}
            Turn::Become(next) => self.store(next),
            Turn::Renew => self.begin(),
        }
    }

    fn say(&mut self, answered: bool) {
        let word = self.maker.word();
        self.taker = self.taker.following(&word);
        self.said.push(word);
        if answered {
            self.facts.answer = Some(self.taker.answer());
        }
    }

    fn line(&self) -> Line {
        match self.facts.last_handshake {
            Some(last) if self.now() - last < Duration::from_secs(135) => Line::Heard,
            Some(_) | None => Line::Silent,
        }
    }

    fn look(&mut self) {
        // The clock of the trial may begin anywhere.
        let now = Instant::now() + self.now();
        let line = self.line();
        self.trial.look(&self.taker, line, now);
    }

    fn shake_hands(&mut self) {
        let (maker, taker) = (self.maker.in_force(), self.trial.in_force(&self.taker));
        if !self.is_cut && maker == taker {
            self.shaken.push(maker.is_some());
            self.facts.last_handshake = Some(self.now());
        }
    }

    /// Nothing goes wrong any more.
    fn calm_down(&mut self, way: Way) {
        self.is_cut = false;
        for _ in 0..200 {
            self.seconds += TRIAL_MS / 2_000;
            self.facts.step_ms += TRIAL_MS / 2;
            self.look();
            self.turn();
            if way == Way::Words {
                self.say(true);
            }
            self.shake_hands();
        }
    }

    fn share(&self) -> bool {
        self.maker.next.is_none() && self.maker == self.taker
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => Just(Event::Begin),
        1 => Just(Event::Abandon),
        4 => Just(Event::Maker),
        4 => any::<bool>().prop_map(|answered| Event::Word { answered }),
        2 => any::<usize>().prop_map(Event::Late),
        3 => Just(Event::Handshake),
        1 => Just(Event::MakerCrash),
        1 => Just(Event::TakerCrash),
        1 => Just(Event::Cut),
        1 => Just(Event::Silence),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_a_pair_shakes_hands_again(events in vec(event(), 0..80)) {
        for way in [Way::Words, Way::None] {
            let mut world = World::new();
            for event in &events {
                world.step(*event);
                let used = world.maker.in_force();
                let next = world.taker.next.as_ref().map(|next| &next.key);
                let held = used == world.taker.kept.as_ref() || (used.is_some() && used == next);
                prop_assert!(held, "the maker uses another: {:?} {:?}", world.maker, world.taker);
            }
            let before = world.shaken.len();
            world.calm_down(way);
            prop_assert!(world.shaken.len() > before + 20, "they do not talk: {:?} {:?}", world.maker, world.taker);
            prop_assert!(way == Way::None || world.share(), "they have not agreed: {:?} {:?}", world.maker, world.taker);
        }
    }

    #[test]
    fn nobody_on_the_line_makes_a_pair_go_without_the_secret_that_it_has(events in vec(event(), 0..80)) {
        let mut world = World::new();
        world.begin();
        world.calm_down(Way::Words);
        prop_assert!(world.share() && world.maker.kept.is_some());
        world.shaken.clear();
        for event in events {
            world.step(event);
            prop_assert!(world.maker.in_force().is_some() && world.trial.in_force(&world.taker).is_some());
        }
        world.calm_down(Way::Words);
        prop_assert!(world.shaken.iter().all(|with_a_secret| *with_a_secret));
    }

    #[test]
    fn an_end_that_lost_its_secret_has_one_again(
        events in vec(event(), 0..80),
        maker_loses: bool,
        later in vec(event(), 0..20),
    ) {
        let mut world = World::new();
        events.into_iter().for_each(|event| world.step(event));
        world.calm_down(Way::Words);
        world.begin();
        world.calm_down(Way::Words);
        prop_assert!(world.share() && world.maker.kept.is_some());
        if maker_loses {
            (world.maker, world.facts) = (Shared::default(), Facts::default());
        } else {
            (world.taker, world.trial) = (Shared::default(), Trial::default());
        }
        later.into_iter().for_each(|event| world.step(event));
        world.calm_down(Way::Words);
        prop_assert!(world.share() && world.maker.kept.is_some(), "{:?} {:?}", world.maker, world.taker);
    }
}
