use super::super::exchange::Heard;
use super::*;

const NAMES: [&str; 4] = ["burlington-1", "montpelier-1", "ravena-1", "tucson-1"];

fn name(index: usize) -> ServerName {
    NAMES[index].parse().unwrap()
}

fn servers() -> BTreeSet<ServerName> {
    (0..NAMES.len()).map(name).collect()
}

/// What server `own` finds when the pairs in `cut` have been down, and all others up, for so long.
fn sights(own: usize, cut: &[(usize, usize)], for_ms: u64) -> Vec<MeshSight> {
    let is_cut = |peer| cut.contains(&(own, peer)) || cut.contains(&(peer, own));
    let others = (0..NAMES.len()).filter(|peer| *peer != own);
    others.map(|peer| MeshSight { peer: NAMES[peer].into(), up: !is_cut(peer), for_ms }).collect()
}

fn word(own: usize, cut: &[(usize, usize)], for_ms: u64) -> MeshWord {
    MeshWord { sights: sights(own, cut, for_ms), ..MeshWord::default() }
}

/// What the first server hears: nothing of those that it is cut off from but through others.
fn matrix_at_first(cut: &[(usize, usize)], for_ms: u64, age_ms: u64) -> Matrix {
    let heard = Instant::now();
    let reached = (1..NAMES.len()).filter(|other| !cut.contains(&(0, *other)));
    let words = reached.map(|server| {
        let others = (0..NAMES.len()).filter(|other| *other != server);
        let reports = others.map(|other| MeshReport {
            server: NAMES[other].into(),
            age_ms: 1_500,
            sights: sights(other, cut, for_ms),
            rotation: None,
            relays: Vec::new(),
            cannot_carry: false,
        });
        let word = MeshWord { reports: reports.collect(), ..word(server, cut, for_ms) };
        (name(server), Heard { word, at: heard })
    });
    let (own, at) = (Said::by(&word(0, cut, for_ms)), heard + Duration::from_millis(age_ms));
    matrix(&youngest(&name(0), own, &words.collect(), at))
}

fn plan(agreed: &Agreed, matrix: &Matrix) -> Option<Vec<(Pair, ServerName)>> {
    let next = follow_up(agreed, matrix, &servers())?;
    assert_eq!(next.relays.generation, agreed.relays.generation + 1);
    Some(next.relays.relays().map(|(pair, via)| (pair.clone(), via.clone())).collect())
}

#[test]
fn the_planner_finds_a_relay_for_itself_by_what_a_third_server_heard() {
    let cut = [(0, 3)];
    let expected = vec![(Pair::new(&name(0), &name(3)), name(1))];
    assert_eq!(plan(&Agreed::default(), &matrix_at_first(&cut, 31_000, 2_000)), Some(expected));
    assert_eq!(plan(&Agreed::default(), &matrix_at_first(&cut, 29_000, 2_000)), None, "too early");
}

#[test]
fn words_that_are_too_old_change_nothing() {
    assert_eq!(plan(&Agreed::default(), &matrix_at_first(&[(1, 3)], 31_000, 25_000)), None);
}

#[test]
fn a_dead_carrier_is_replaced_and_a_good_pair_goes_directly_again() {
    let pair = Pair::new(&name(0), &name(3));
    let agreed = Agreed { relays: RelayPlan::known(7, [(pair.clone(), name(1))]), ..Agreed::default() };
    let dead = [(0, 3), (0, 1), (1, 2), (1, 3)];
    let other = plan(&agreed, &matrix_at_first(&dead, 31_000, 0));
    assert_eq!(other.map(|relays| relays[0].clone()), Some((pair, name(2))));
    assert_eq!(plan(&agreed, &matrix_at_first(&[], 59_000, 0)), None, "not yet good for long enough");
    assert_eq!(plan(&agreed, &matrix_at_first(&[], 61_000, 0)), Some(vec![]));
}

#[test]
fn whoever_has_left_the_cluster_carries_nobody() {
    let gone: ServerName = "nantucket-1".parse().unwrap();
    let relays = RelayPlan::known(2, [(Pair::new(&name(0), &name(3)), gone)]);
    let agreed = Agreed { relays, ..Agreed::default() };
    assert_eq!(plan(&agreed, &Matrix::default()), Some(vec![]));
}

/// What servers say that reach each other through `via`, and hear nothing so for as long.
fn carried(silent: [(usize, usize, u64); 2], via: usize) -> BTreeMap<ServerName, (u64, Said)> {
    let relay =
        |peer: usize, silent_ms| MeshRelay { peer: NAMES[peer].into(), via: NAMES[via].into(), silent_ms };
    let said = |(own, peer, silent_ms): (usize, usize, u64)| {
        (name(own), (1_000, Said { relays: vec![relay(peer, silent_ms)], ..Said::default() }))
    };
    silent.into_iter().map(said).collect()
}

#[test]
fn a_carrier_is_doubted_when_both_ends_hear_nothing_through_it_and_for_a_while() {
    let pair = Pair::new(&name(0), &name(3));
    let plan = RelayPlan::known(1, [(pair.clone(), name(1))]);
    let begun = Instant::now();
    let silent = RELAY_SILENT_MS_MIN;
    let mut doubts = Doubts::default();
    doubts.take(&carried([(0, 3, silent), (3, 0, silent - 1)], 1), &plan, begun);
    assert!(doubts.of.is_empty(), "one end hears something");
    doubts.take(&carried([(0, 3, silent), (3, 0, silent)], 2), &plan, begun);
    assert!(doubts.of.is_empty(), "that was through another server");
    let mut away = carried([(0, 3, silent), (3, 0, silent)], 1);
    away.get_mut(&name(3)).unwrap().0 = REPORT_MS_MAX + 1;
    doubts.take(&away, &plan, begun);
    assert!(doubts.of.is_empty(), "an end that is away hears nothing from anybody");
    doubts.take(&carried([(0, 3, silent), (3, 0, silent)], 1), &plan, begun);
    assert_eq!(doubts.of.keys().cloned().collect::<Vec<_>>(), [(pair, name(1))]);
    let nothing = BTreeMap::new();
    doubts.take(&nothing, &plan, begun + Duration::from_millis(DOUBT_MS - 1));
    assert_eq!(doubts.of.len(), 1);
    doubts.take(&nothing, &plan, begun + Duration::from_millis(DOUBT_MS));
    assert!(doubts.of.is_empty());
}

#[test]
fn a_server_that_says_that_it_cannot_carry_is_not_asked_to() {
    let cut = [(0, 3)];
    let words = [1, 2].map(|server| {
        let reports = vec![MeshReport {
            server: NAMES[3].into(),
            age_ms: 0,
            sights: sights(3, &cut, 31_000),
            rotation: None,
            relays: Vec::new(),
            cannot_carry: false,
        }];
        let word = MeshWord { reports, cannot_carry: server == 1, ..word(server, &cut, 31_000) };
        (name(server), Heard { word, at: Instant::now() })
    });
    let own = Said::by(&word(0, &cut, 31_000));
    let matrix = matrix(&youngest(&name(0), own, &words.into(), Instant::now()));
    let expected = vec![(Pair::new(&name(0), &name(3)), name(2))];
    assert_eq!(plan(&Agreed::default(), &matrix), Some(expected));
}
