//! The bound of an automatic failover when one primary after another is lost: what it is counted against.

use sb_failover::{Election, elect};

use crate::bench::*;

/// Where we stand, cut off from the log.
const HERE: u64 = 2 << 20;
/// Where the log ends that was written since.
const FAR: u64 = 6 << 20;

/// `other` told `told` last and was lost; `b` stood at `stood` then and took over.
fn taken_over_by_b(told: u64, stood: u64) -> ClusterRecord {
    let mut record = founded_by("other");
    for server in ["b", "c"] {
        record.members.insert(name(server), member());
    }
    record.position = Some(position(told));
    let lease = record.lease.clone().unwrap();
    let takeover = Request::Takeover {
        by: name("b"),
        incarnation: Incarnation::new(1),
        expect_term: lease.term,
        expect_seq: lease.seq,
        renewal: RenewalNumber::default(),
        ttl_ms: 3_500,
        position: position(stood),
        proof: Proof::LagBound,
    };
    record.apply(&takeover).unwrap();
    record
}

fn promoted(mut record: ClusterRecord, at: u64) -> ClusterRecord {
    let lineage = Lineage::first().forked(Lsn::new(at), TimelineId::try_from(2).unwrap()).unwrap();
    let (holder, incarnation, term) = (name("b"), Incarnation::new(1), FIRST.next());
    record.apply(&Request::Promoted { holder, incarnation, term, lineage }).unwrap();
    record
}

/// `b` is lost too, before its first renewal; we and `c`, which stands at `c_stands`, are left.
fn left_alone(record: ClusterRecord, we_stand: u64, c_stands: u64) -> Bench {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = record;
    bench.postgres.position = Some(position(we_stand));
    let mut bench = bench.begin();
    while bench.machine.state() != State::Frozen {
        assert!(bench.moves.len() < 3, "{:?}", bench.moves);
        bench.later(50);
    }
    let lease = bench.record.lease.clone().unwrap();
    assert_eq!(lease.seq, Seq::default(), "it was never renewed");
    let report = Request::Report {
        server: name("c"),
        incarnation: Incarnation::new(1),
        term: lease.term,
        seq: lease.seq,
        position: position(c_stands),
    };
    bench.record.apply(&report).unwrap();
    bench.show();
    bench.later(20_000);
    bench
}

/// The first primary told nothing of what it wrote last, but its successor had it: the takeover itself tells where it
/// ends.
#[test]
fn who_lacks_what_a_new_primary_had_that_told_nothing_yet_does_not_lead() {
    let unrecorded = taken_over_by_b(HERE, FAR);
    let recorded = promoted(unrecorded.clone(), FAR);
    for record in [unrecorded, recorded] {
        let bench = left_alone(record, HERE, HERE);
        bench.is(State::Frozen);
        assert_eq!(bench.record.holder(), Some(&name("b")));
        let why = Rejection::TooFarBehind { bytes: FAR - HERE, allowed: LAG_BYTES_MAX_DEFAULT };
        assert_eq!(elect(&bench.record), Election::Blocked(Some(why)));
        let next = bench.machine.explain(bench.now).next;
        assert!(next.contains("4194304 bytes would be lost, 1048576 are allowed"), "{next}");
    }
}

/// What no renewal told and no server that is left has, nobody can know of: in `async` it is lost beyond the bound.
#[test]
fn what_was_neither_told_nor_copied_holds_nobody_back() {
    let bench = left_alone(taken_over_by_b(HERE, HERE), HERE, HERE);
    bench.is(State::Leading);
    assert_eq!(bench.record.holder(), Some(&name("us")));
}

/// Each loss is within the bound, and what the first one left behind is on no line any more.
#[test]
fn the_bound_counts_for_each_failover_by_itself() {
    let bound = LAG_BYTES_MAX_DEFAULT;
    let both = taken_over_by_b(FAR, FAR - bound);
    let bench = left_alone(both.clone(), FAR - 2 * bound, FAR - 2 * bound);
    bench.is(State::Leading);
    let bench = left_alone(both, FAR - 2 * bound - 1, FAR - 2 * bound - 1);
    bench.is(State::Frozen);
    let why = Rejection::TooFarBehind { bytes: bound + 1, allowed: bound };
    assert_eq!(elect(&bench.record), Election::Blocked(Some(why)));
}

/// `b` promoted, was put on record, and was cut off; `c` stood at the same place, took over without that promotion, and was
/// lost before its own (seed 40410 of `three-async`, at a797aea3fb089102: 78 commits that users saw last went).
#[test]
fn an_older_primary_does_not_come_back_with_what_a_promotion_on_record_left_behind() {
    let mut record = promoted(taken_over_by_b(FAR, FAR), FAR);
    let lease = record.lease.clone().unwrap();
    let takeover = Request::Takeover {
        by: name("c"),
        incarnation: Incarnation::new(1),
        expect_term: lease.term,
        expect_seq: lease.seq,
        renewal: RenewalNumber::default(),
        ttl_ms: 3_500,
        position: position(FAR),
        proof: Proof::LagBound,
    };
    record.apply(&takeover).unwrap();
    let lease = record.lease.clone().unwrap();
    let mut report = |server: &str, position| {
        record.apply(&Request::Report {
            server: name(server),
            incarnation: Incarnation::new(1),
            term: lease.term,
            seq: lease.seq,
            position,
        })
    };
    assert_eq!(report("other", position(FAR + 10_000)), Err(Rejection::Diverged));
    let branch = Lineage::first().forked(Lsn::new(FAR), TimelineId::try_from(2).unwrap()).unwrap();
    let end = Position { lineage: branch, flushed: Lsn::new(FAR + 500) };
    report("b", end.clone()).unwrap();
    // Nor does anybody else lead without what clients have written after that promotion.
    report("us", position(FAR)).unwrap();
    let Election::Decided(ranked) = elect(&record) else { panic!("nobody was elected") };
    let fetches: Vec<_> = ranked.into_iter().map(|r| (r.server, r.fetch)).collect();
    assert_eq!(fetches, [(name("b"), None), (name("us"), Some((name("b"), end)))]);
}
