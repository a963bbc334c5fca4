//! If nothing else changes, the sets become what they shall be.

use sb_failover::record::Durability;
use sb_failover::resolver::{Change, Late, Owner, Patience, Rest, Step, next};

use crate::every_state::after;
use crate::scene::{Mask, Scene, count};

/// Standbys: whether they are well or gone.
const STANDBYS: usize = 4;

/// Takes steps until there are none. Whoever is well flushes what there is after each.
fn settle(scene: &Scene) -> (Scene, Rest, usize) {
    let mut now = *scene;
    let steps_max = 6 * STANDBYS + 6;
    for steps in 0..=steps_max {
        now.past_barrier = now.answering;
        let step = now.with(next);
        if let Step::Rest(rest) = step {
            return (now, rest, steps);
        }
        now = after(&now, &step);
        now.patience = Patience::Lasts;
    }
    panic!("no end after {steps_max} steps: {scene:?}, now {now:?}");
}

fn every_pair(visit: &mut impl FnMut(Mask, usize, Option<(usize, Mask)>)) {
    let all: Mask = (1 << (STANDBYS + 1)) - 2;
    let masks: Vec<Mask> = (0..=all).filter(|m| m & 1 == 0).collect();
    for voters in &masks {
        for quorum in 0..=STANDBYS {
            visit(*voters, quorum, None);
            for names in &masks {
                for number in 0..=3 {
                    let names = if number == 0 { 0 } else { *names };
                    visit(*voters, quorum, Some((number, names)));
                }
            }
        }
    }
}

#[test]
fn every_pair_of_sets_becomes_the_wanted_one() {
    let all: Mask = (1 << (STANDBYS + 1)) - 2;
    let mut longest = 0;
    for well in (0..=all).filter(|m| m & 1 == 0) {
        every_pair(&mut |voters, quorum, postgres| {
            for number in 1..=3 {
                for late in [Late::Impossible, Late::Possible] {
                    let mut scene = Scene::settled(number, voters, quorum, postgres);
                    scene.late = late;
                    (scene.wanted, scene.ready, scene.answering, scene.gone) = (all, well, well, all & !well);
                    let (end, rest, steps) = settle(&scene);
                    longest = longest.max(steps);
                    if count(well) < number {
                        assert!(!matches!(rest, Rest::Asynchronous), "{scene:?} {end:?} {rest:?}");
                        continue;
                    }
                    assert_eq!(rest, Rest::Settled, "{scene:?} {end:?}");
                    assert_eq!(end.voters, well, "{scene:?} {end:?}");
                    assert_eq!(end.postgres, Some((number, well)), "{scene:?} {end:?}");
                    assert_eq!(end.quorum, count(well) - number, "{scene:?} {end:?}");
                }
            }
        });
    }
    assert!(longest > 0);
}

#[test]
fn sync_falls_back_when_too_few_answer_and_forms_when_they_return() {
    let all: Mask = 0b11110;
    let mut scene = Scene::settled(1, all, 3, Some((1, all)));
    (scene.durability, scene.wanted_durability) = (Durability::Sync, Durability::Sync);
    (scene.wanted, scene.patience) = (all, Patience::Over);
    let first = scene.with(next);
    assert!(
        matches!(first, Step::Record { change: Change::FallBack, .. }),
        "the record goes first: {first:?}"
    );
    let fallen = after(&scene, &first);
    let second = fallen.with(next);
    assert!(matches!(&second, Step::Postgres { number: 0, names, .. } if names.is_empty()), "{second:?}");

    let (mut fallen, rest, _) = settle(&scene);
    assert!(fallen.degraded && rest == Rest::TooFew { have: 0, need: 1 });
    (fallen.ready, fallen.answering) = (0b00110, 0b00110);
    let back = fallen.with(next);
    assert!(matches!(back, Step::Postgres { number: 1, .. }), "PostgreSQL goes first: {back:?}");
    let (whole, rest, _) = settle(&fallen);
    assert_eq!((rest, whole.degraded, whole.voters), (Rest::Settled, false, 0b00110));
}

#[test]
fn a_set_that_passed_the_barrier_once_does_not_form_while_it_is_silent() {
    let mut scene = Scene::settled(1, 0b010, 0, Some((1, 0b010)));
    (scene.durability, scene.wanted_durability) = (Durability::Sync, Durability::Sync);
    (scene.wanted, scene.gone, scene.past_barrier, scene.patience) = (0b010, 0b010, 0b010, Patience::Over);
    let fallen = after(&scene, &scene.with(next));
    assert!(fallen.degraded);
    assert!(matches!(fallen.with(next), Step::Postgres { number: 0, .. }));
}

#[test]
fn strict_waits_for_ever() {
    let mut scene = Scene::settled(1, 0b110, 1, Some((1, 0b110)));
    (scene.wanted, scene.gone, scene.patience) = (0b110, 0b110, Patience::Over);
    let (end, _, _) = settle(&scene);
    assert!(!end.degraded);
    assert_ne!(end.voters, 0);
    assert!(end.postgres.is_some_and(|(number, names)| number > 0 && names != 0));
}

#[test]
fn the_promise_rises_at_postgresql_first_and_falls_on_record_first() {
    let all: Mask = 0b1110;
    let mut scene = Scene::settled(2, all, 2, Some((1, all)));
    (scene.wanted, scene.ready, scene.answering) = (all, all, all);
    assert!(matches!(scene.with(next), Step::Postgres { number: 2, .. }));
    scene.postgres = Some((2, all));
    assert!(matches!(scene.with(next), Step::Rest(Rest::Barrier { behind: 3, allowed: 1 })));
    scene.past_barrier = 0b0110;
    assert!(matches!(scene.with(next), Step::Record { change: Change::Set { quorum: 1, .. }, .. }));

    (scene.number, scene.quorum) = (1, 1);
    assert!(matches!(scene.with(next), Step::Record { change: Change::Set { quorum: 2, .. }, .. }));
    scene.quorum = 2;
    assert!(matches!(scene.with(next), Step::Postgres { number: 1, .. }));
}

#[test]
fn from_asynchronous_the_set_forms_first_and_to_it_the_record_goes_first() {
    let mut scene = Scene::settled(1, 0, 0, Some((0, 0)));
    (scene.durability, scene.wanted_durability, scene.owner) =
        (Durability::Async, Durability::Strict, Owner::Former);
    (scene.wanted, scene.ready, scene.answering) = (0b110, 0b110, 0b110);
    assert!(matches!(scene.with(next), Step::Postgres { number: 1, .. }));
    let (formed, rest, _) = settle(&scene);
    assert_eq!((rest, formed.durability, formed.voters), (Rest::Settled, Durability::Strict, 0b110));

    let asked =
        Scene { durability: Durability::Async, wanted_durability: Durability::Async, voters: 0, ..formed };
    let (end, rest, _) = settle(&asked);
    assert_eq!((rest, end.postgres), (Rest::Asynchronous, Some((0, 0))));
}
