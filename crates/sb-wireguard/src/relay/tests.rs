use super::*;

fn name(text: &str) -> ServerName {
    ServerName::new(text).unwrap()
}

/// Every pair of `a` to `d` good for an hour, but for some, down for so many milliseconds.
fn matrix(down: &[(&str, &str, u64)]) -> Matrix {
    let names = ["a", "b", "c", "d"];
    let mut matrix = Matrix::default();
    for (one, other) in names.iter().flat_map(|one| names.iter().map(move |other| (one, other))) {
        let sight = Sight { state: SightState::Up, for_ms: 3_600_000, age_ms: 0 };
        matrix.note(&name(one), &name(other), sight);
    }
    for (one, other, for_ms) in down {
        set(&mut matrix, one, other, SightState::Down, *for_ms);
        set(&mut matrix, other, one, SightState::Down, *for_ms);
    }
    matrix
}

fn set(matrix: &mut Matrix, observer: &str, peer: &str, state: SightState, for_ms: u64) {
    matrix.note(&name(observer), &name(peer), Sight { state, for_ms, age_ms: 0 });
}

fn relays(plan: &RelayPlan) -> Vec<String> {
    plan.relays().map(|(Pair(one, other), via)| format!("{one}-{via}-{other}")).collect()
}

#[test]
fn a_pair_that_is_down_for_30_seconds_gets_a_relay() {
    let start = RelayPlan::default();
    assert_eq!(relays(&start.next(&matrix(&[("a", "b", 29_999)]))), [""; 0]);
    let plan = start.next(&matrix(&[("a", "b", 30_000)]));
    assert_eq!((relays(&plan), plan.generation), (vec!["a-c-b".to_owned()], 1));
}

#[test]
fn a_line_that_works_one_way_is_down() {
    let mut matrix = matrix(&[]);
    set(&mut matrix, "a", "b", SightState::Down, 30_000);
    assert_eq!(relays(&RelayPlan::default().next(&matrix)), ["a-c-b"]);
}

#[test]
fn nobody_is_carried_to_a_server_that_nobody_reaches() {
    let lost = matrix(&[("a", "b", 90_000), ("a", "c", 90_000), ("a", "d", 90_000)]);
    assert_eq!(relays(&RelayPlan::default().next(&lost)), [""; 0]);
}

#[test]
fn a_relay_ends_after_60_seconds_of_good_direct_handshakes() {
    let plan = RelayPlan::default().next(&matrix(&[("a", "b", 30_000)]));
    let mut back = matrix(&[]);
    set(&mut back, "a", "b", SightState::Up, 70_000);
    set(&mut back, "b", "a", SightState::Up, 59_999);
    assert_eq!(plan.next(&back), plan);
    set(&mut back, "b", "a", SightState::Up, 60_000);
    let direct = plan.next(&back);
    assert_eq!((relays(&direct), direct.generation), (Vec::new(), 2));
}

#[test]
fn a_relay_that_is_lost_is_replaced() {
    let plan = RelayPlan::default().next(&matrix(&[("a", "b", 30_000)]));
    let short = matrix(&[("a", "b", 60_000), ("b", "c", 29_000)]);
    assert_eq!(plan.next(&short), plan);
    let lost = matrix(&[("a", "b", 61_000), ("b", "c", 30_000)]);
    assert_eq!(relays(&plan.next(&lost)), ["a-d-b", "b-d-c"]);
}

#[test]
fn a_pair_that_is_carried_carries_nobody() {
    let plan = RelayPlan::default().next(&matrix(&[("a", "c", 40_000)]));
    assert_eq!(relays(&plan), ["a-b-c"]);
    // a-c is back and not yet trusted, and d is of no use to a and b.
    let mut later = matrix(&[("a", "b", 40_000), ("a", "d", 40_000)]);
    set(&mut later, "a", "c", SightState::Up, 20_000);
    set(&mut later, "c", "a", SightState::Up, 20_000);
    let next = plan.next(&later);
    for (pair, via) in next.relays() {
        assert!(legs(pair, via).iter().all(|leg| next.via(leg).is_none()), "{next:?}");
    }
}

#[test]
fn what_is_not_known_is_neither_up_nor_down() {
    let mut unknown = matrix(&[("a", "b", 40_000)]);
    let old = Sight { state: SightState::Up, for_ms: 90_000, age_ms: REPORT_MS_MAX + 1 };
    unknown.sights.retain(|(observer, _), _| *observer != name("c"));
    unknown.note(&name("c"), &name("a"), old);
    assert_eq!(relays(&RelayPlan::default().next(&unknown)), ["a-d-b"]);
}

#[test]
fn a_server_that_cannot_carry_is_not_chosen_and_is_left() {
    let down = [("a", "b", 40_000)];
    let unable = |servers: &[&str]| {
        let mut matrix = matrix(&down);
        servers.iter().for_each(|server| matrix.note_unable(&name(server)));
        matrix
    };
    assert_eq!(relays(&RelayPlan::default().next(&unable(&["c"]))), ["a-d-b"]);
    assert_eq!(relays(&RelayPlan::default().next(&unable(&["c", "d"]))), [""; 0]);
    let through_c = RelayPlan::default().next(&unable(&[]));
    let through_d = through_c.next(&unable(&["c"]));
    assert_eq!((relays(&through_d), through_d.generation), (vec!["a-d-b".to_owned()], 2));
    assert_eq!(through_d.next(&unable(&["c", "d"])), through_d, "nobody would do better");
}

#[test]
fn a_carrier_that_passes_nothing_on_is_left_for_that_pair_and_each_other_one_is_tried_once() {
    let pair = Pair::new(&name("a"), &name("b"));
    let mut doubts = matrix(&[("a", "b", 40_000)]);
    let through_c = RelayPlan::default().next(&doubts);
    doubts.note_doubt(&pair, &name("c"));
    let through_d = through_c.next(&doubts);
    assert_eq!(relays(&through_d), ["a-d-b"]);
    assert_eq!(through_d.next(&doubts), through_d, "it does not go back");
    doubts.note_doubt(&pair, &name("d"));
    assert_eq!(through_d.next(&doubts), through_d, "nobody is left to try");
    let mut other = matrix(&[("a", "d", 40_000)]);
    other.note_doubt(&pair, &name("c"));
    assert_eq!(relays(&RelayPlan::default().next(&other)), ["a-b-d"], "the first by name");
    other.note_doubt(&Pair::new(&name("a"), &name("d")), &name("b"));
    assert_eq!(relays(&RelayPlan::default().next(&other)), ["a-c-d"], "a doubt is about one pair");
}
