//! One step from every state: it never panics, never breaks the rule from a sound state, and always does something or
//! says why not.

use sb_failover::record::Durability;
use sb_failover::resolver::{Change, InForce, Late, Owner, Patience, Step, next};

use crate::scene::{ME, Mask, Scene, count, mask, set};

/// What is known of one standby: in V, in S, and how it does.
#[derive(Clone, Copy)]
struct Kind {
    votes: bool,
    named: bool,
    health: Health,
}

#[derive(Clone, Copy)]
enum Health {
    Well,
    Behind,
    Silent,
    Gone,
    /// Not wanted any more, and past the barrier.
    Unwanted,
}

const HEALTHS: [Health; 5] = [Health::Well, Health::Behind, Health::Silent, Health::Gone, Health::Unwanted];

fn kinds() -> Vec<Kind> {
    let pairs = [(false, false), (false, true), (true, false), (true, true)];
    let all = pairs
        .into_iter()
        .flat_map(|(votes, named)| HEALTHS.into_iter().map(move |health| Kind { votes, named, health }));
    all.collect()
}

/// Every choice of `size` kinds, their order aside: servers differ in nothing else.
fn choices(
    size: usize,
    from: usize,
    kinds: &[Kind],
    chosen: &mut Vec<Kind>,
    visit: &mut impl FnMut(&[Kind]),
) {
    if size == 0 {
        return visit(chosen);
    }
    for at in from..kinds.len() {
        chosen.push(kinds[at]);
        choices(size - 1, at, kinds, chosen, visit);
        chosen.pop();
    }
}

/// `scene` with these standbys; k of their S, or unknown when `number` is [`None`].
fn with_standbys(scene: &Scene, standbys: &[Kind], number: Option<usize>) -> Scene {
    let mut scene = *scene;
    let mut names: Mask = 0;
    for (at, kind) in standbys.iter().enumerate() {
        let bit: Mask = 2 << at;
        let add = |set: &mut Mask, is: bool| *set |= if is { bit } else { 0 };
        let (well, behind) = (matches!(kind.health, Health::Well), matches!(kind.health, Health::Behind));
        let unwanted = matches!(kind.health, Health::Unwanted);
        let gone = matches!(kind.health, Health::Gone);
        add(&mut scene.voters, kind.votes);
        add(&mut names, kind.named);
        add(&mut scene.wanted, !unwanted);
        add(&mut scene.ready, well || behind || unwanted);
        add(&mut scene.answering, well || behind || unwanted);
        add(&mut scene.gone, gone);
        add(&mut scene.past_barrier, well || unwanted);
    }
    scene.postgres = number.map(|k| if k == 0 { (0, 0) } else { (k, names) });
    scene
}

/// Every scene of `standbys` standbys with the rest as in `base`.
fn scenes(base: &Scene, standbys: usize, visit: &mut impl FnMut(&Scene)) {
    let kinds = kinds();
    choices(standbys, 0, &kinds, &mut Vec::new(), &mut |chosen| {
        for promised in 1..=3 {
            for quorum in 0..=standbys {
                for number in [None, Some(0), Some(1), Some(2), Some(3)] {
                    let base = Scene { number: promised, quorum, ..*base };
                    visit(&with_standbys(&base, chosen, number));
                }
            }
        }
    });
}

/// Whether the rule holds for what PostgreSQL may wait for: if that is unknown, for all that the steps lead to.
fn is_sound(scene: &Scene) -> bool {
    let counted_on = count(scene.voters).saturating_sub(scene.quorum);
    let possible = scene.postgres.unwrap_or((counted_on, scene.voters));
    scene.voters & (1 << ME) == 0 && scene.with(|s| s.check(&in_force(possible)).is_ok())
}

fn in_force((number, names): (usize, Mask)) -> InForce<u8> {
    InForce { number, names: set(names) }
}

/// The scene after the step, before anything else changes.
pub fn after(scene: &Scene, step: &Step<u8>) -> Scene {
    let mut after = *scene;
    match step {
        Step::Rest(_) => {}
        Step::Postgres { number, names, .. } => after.postgres = Some((*number, mask(names))),
        Step::Record { change, .. } => {
            after.late = Late::Impossible;
            match change {
                Change::Void => {}
                Change::FallBack => {
                    (after.voters, after.quorum, after.degraded) = (0, 0, true);
                    after.owner = Owner::Me;
                }
                Change::Form { voters } => {
                    (after.voters, after.quorum) = (mask(voters), voters.len() - after.number);
                    (after.degraded, after.owner) = (false, Owner::Me);
                    after.durability = after.wanted_durability;
                }
                Change::Set { voters, quorum } => (after.voters, after.quorum) = (mask(voters), *quorum),
            }
        }
    }
    after
}

fn check_one_step(scene: &Scene) {
    let step = scene.with(next);
    let then = after(scene, &step);
    let changes = then != *scene || matches!(step, Step::Rest(_));
    assert!(changes, "a step to where it is: {scene:?} {step:?}");
    let mine: Mask = 1 << ME;
    let named = then.postgres.map_or(0, |(_, names)| names) & !scene.postgres.map_or(0, |(_, names)| names);
    assert_eq!(
        (then.voters & !scene.voters | named) & mine,
        0,
        "the primary confirms to itself: {scene:?} {step:?}"
    );
    if let Step::Postgres { number, names, .. } = &step {
        assert!(*number <= names.len(), "{scene:?} {step:?}");
        assert!(scene.late == Late::Impossible || !scene.with(|s| loosens(s.postgres, *number, names)));
    }
    let tightens =
        then.voters & scene.voters != scene.voters || then.quorum < scene.quorum || !scene.elects();
    if then.elects() && tightens && then.voters != 0 {
        let behind = count(then.voters & !scene.past_barrier);
        assert!(behind <= then.quorum, "the barrier is not passed: {scene:?} {step:?}");
    }
    if scene.elects() && is_sound(scene) && then.elects() {
        assert!(is_sound(&then), "the rule is broken: {scene:?} {step:?} {then:?}");
    }
}

fn loosens(now: Option<&InForce<u8>>, number: usize, names: &std::collections::BTreeSet<u8>) -> bool {
    now.is_none_or(|now| {
        !now.names.is_empty() && (names.is_empty() || !names.is_subset(&now.names) || number < now.number)
    })
}

#[test]
fn no_step_from_any_settled_state_of_six_servers_breaks_the_rule() {
    let base = Scene::settled(1, 0, 0, None);
    let mut seen = 0_u64;
    for standbys in 0..=5 {
        scenes(&base, standbys, &mut |scene| {
            check_one_step(scene);
            seen += 1;
        });
    }
    assert!(seen > 3_000_000, "{seen}");
}

/// Fallen back, of another term, asynchronous, out of patience, with changes outstanding, with the primary in its own
/// set: fewer servers, everything else.
#[test]
fn no_step_from_any_other_state_breaks_the_rule() {
    use Durability::{Async, Strict, Sync};
    let promises =
        [(Async, Async), (Async, Sync), (Async, Strict), (Sync, Sync), (Sync, Strict), (Strict, Strict)];
    for (durability, wanted_durability) in promises {
        for degraded in [false, true] {
            for owner in [Owner::Me, Owner::Former] {
                for patience in [Patience::Lasts, Patience::Over] {
                    for late in [Late::Impossible, Late::Possible] {
                        for voters in [0, 1 << ME] {
                            let settled = Scene::settled(1, voters, 0, None);
                            let base = Scene {
                                durability,
                                wanted_durability,
                                degraded,
                                owner,
                                patience,
                                late,
                                ..settled
                            };
                            scenes(&base, 2, &mut check_one_step);
                        }
                    }
                }
            }
        }
    }
}
