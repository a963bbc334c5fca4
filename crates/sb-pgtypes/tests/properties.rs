//! Laws of positions, and text forms that read back as written.

use proptest::collection::vec;
use proptest::prelude::*;
use sb_pgtypes::{Conninfo, Lineage, Lsn, Position, Relation, TimelineId};

/// Positions are small, so that forks and ends often meet.
const LSN_MAX: u64 = 8;

/// One thing in a log: a byte on a timeline, or a change of timeline.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Item {
    Byte(u32),
    Change(u32, u32),
}

/// The model: a log item by item.
fn items(position: &Position) -> Vec<Item> {
    let forks = position.lineage.forks();
    let mut items = Vec::new();
    let mut timeline = forks.first().map_or(position.lineage.current(), |fork| fork.from);
    let mut reached = 0;
    for (number, fork) in forks.iter().enumerate() {
        if fork.at > position.flushed {
            break;
        }
        let next = forks.get(number + 1).map_or(position.lineage.current(), |fork| fork.from);
        items.extend((reached..fork.at.get()).map(|_| Item::Byte(timeline.get())));
        items.push(Item::Change(timeline.get(), next.get()));
        (timeline, reached) = (next, fork.at.get());
    }
    items.extend((reached..position.flushed.get()).map(|_| Item::Byte(timeline.get())));
    items
}

fn model_relation(a: &Position, b: &Position) -> Relation {
    let (a, b) = (items(a), items(b));
    match (a.starts_with(&b), b.starts_with(&a)) {
        (true, true) => Relation::Equal,
        (true, false) => Relation::Ahead,
        (false, true) => Relation::Behind,
        (false, false) => Relation::Diverged,
    }
}

fn position() -> impl Strategy<Value = Position> {
    let fork = (0..=LSN_MAX, 1..3_u32);
    (vec(fork, 0..4), 0..=LSN_MAX).prop_map(|(forks, flushed)| {
        let mut lineage = Lineage::first();
        for (at, step) in forks {
            let next = TimelineId::try_from(lineage.current().get() + step).expect("not zero");
            lineage = lineage.forked(Lsn::new(at), next).unwrap_or(lineage);
        }
        Position { lineage, flushed: Lsn::new(flushed) }
    })
}

fn mirrored(relation: Relation) -> Relation {
    match relation {
        Relation::Ahead => Relation::Behind,
        Relation::Behind => Relation::Ahead,
        Relation::Equal | Relation::Diverged => relation,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn lsn_text_reads_back_as_written(value: u64) {
        let lsn = Lsn::new(value);
        prop_assert_eq!(lsn.to_string().parse(), Ok(lsn));
    }

    #[test]
    fn relation_is_that_of_the_logs_item_by_item(a in position(), b in position()) {
        prop_assert_eq!(a.relation(&b), model_relation(&a, &b));
    }

    #[test]
    fn relation_seen_from_the_other_side_is_mirrored(a in position(), b in position()) {
        prop_assert_eq!(a.relation(&b), mirrored(b.relation(&a)));
        prop_assert_eq!(a.relation(&a), Relation::Equal);
    }

    #[test]
    fn containment_is_transitive(mut positions in vec(position(), 3)) {
        positions.sort_by_key(|position| std::cmp::Reverse(items(position).len()));
        let [a, b, c] = positions.as_slice() else { unreachable!() };
        prop_assert!(!(a.contains(b) && b.contains(c)) || a.contains(c));
    }

    #[test]
    fn history_text_of_a_lineage_reads_back(position in position()) {
        let lineage = position.lineage;
        let lines = lineage.forks().iter().map(|f| format!("{}\t{}\tno recovery target specified\n", f.from, f.at));
        let text: String = lines.collect();
        prop_assert_eq!(Lineage::parse_history(lineage.current(), &text), Ok(lineage));
    }

    #[test]
    fn conninfo_reads_back_as_written(host in "[^\0]*", password in "[^\0]*", port: u16) {
        let conninfo = Conninfo::new()
            .with("host", host)
            .and_then(|c| c.with("password", password))
            .and_then(|c| c.with("port", port.to_string()))
            .unwrap();
        prop_assert_eq!(conninfo.reveal().parse(), Ok(conninfo));
    }

    #[test]
    fn any_text_is_a_conninfo_or_an_error(text: String) {
        if let Ok(conninfo) = text.parse::<Conninfo>() {
            prop_assert_eq!(conninfo.reveal().parse(), Ok(conninfo));
        }
    }
}
