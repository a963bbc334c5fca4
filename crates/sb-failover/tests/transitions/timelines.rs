//! The numbers of timelines: one for every promotion, whatever became of those before.

use sb_failover::record::{RECOVERY_TIMELINES, Recovery};

use crate::bench::*;

/// The numbers that this machine has promotions take, in order.
fn taken(bench: &Bench) -> Vec<u32> {
    let number = |command: &Command| match command {
        Command::Promote { timeline, .. } => Some(timeline.get()),
        _ => None,
    };
    bench.commands.iter().filter_map(number).collect()
}

fn lineage(at: u64, timeline: u32) -> Lineage {
    Lineage::first().forked(Lsn::new(at), TimelineId::try_from(timeline).unwrap()).unwrap()
}

#[test]
fn every_takeover_has_a_number_of_its_own() {
    let mut record = founded_by("other");
    let newest = |record: &ClusterRecord| record.timelines.newest;
    record = taken_over(record, "us");
    assert_eq!(newest(&record), 2);
    record = deposed(record);
    assert_eq!(newest(&record), 3, "nobody knows whether 2 was taken");
    let told = Request::Report {
        server: name("us"),
        incarnation: Incarnation::new(1),
        term: record.term(),
        seq: record.lease.as_ref().unwrap().seq,
        position: Position { lineage: lineage(9_000, 7), flushed: Lsn::new(9_000) },
    };
    record.apply(&told).unwrap();
    assert_eq!(newest(&record), 7, "somebody tells of it");
    let reserved = taken_over(record, "us").timelines.reserved.unwrap();
    assert_eq!(reserved.timeline.get(), 8);
}

#[test]
fn a_later_run_of_the_same_term_takes_another_number() {
    let mut bench = Bench::joiner(Phase::Promoting { term: FIRST.next() }, Role::Standby);
    bench.record = won_by_us();
    assert_eq!(bench.record.timelines.newest, 2, "what the run before may have used");
    let bench = held(bench, &["Promote"]).begin();
    bench.is(State::Promoting);
    assert_eq!(taken(&bench), [3]);
    assert_eq!(bench.record.timelines.newest, 3);
}

#[test]
fn a_number_is_reserved_for_the_holder_only() {
    let mut record = won_by_us();
    let reserve = |server: &str, term| Request::ReserveTimeline {
        holder: name(server),
        incarnation: Incarnation::new(1),
        term,
        session: Session::new(9),
    };
    assert!(record.apply(&reserve("other", record.term())).is_err());
    assert!(record.apply(&reserve("us", FIRST)).is_err(), "of an earlier term");
    record.apply(&reserve("us", record.term())).unwrap();
    assert_eq!(record.reserved_timeline(record.term(), Session::new(8)), None);
    assert_eq!(record.reserved_timeline(record.term(), Session::new(9)).unwrap().get(), 3);
}

#[test]
fn a_recovered_store_passes_over_the_numbers_of_the_lost_one() {
    let mut record = won_by_us();
    let recovery = Recovery {
        id: 1,
        server: name("b"),
        given_up: [name("us")].into(),
        accept_data_loss_bytes: u64::MAX,
        by: "a person".into(),
    };
    record.members.insert(name("b"), member());
    record.apply(&Request::Recover { recovery }).unwrap();
    assert_eq!(record.timelines.newest, 2 + RECOVERY_TIMELINES);
    assert_eq!(record.timelines.reserved, None);
}

/// What was written before numbers were counted.
#[test]
fn a_record_without_numbers_goes_on_from_its_line() {
    let mut record = founded_by("other");
    record.lineage.as_mut().unwrap().lineage = lineage(9_000, 5);
    let mut old = serde_json::to_value(&record).unwrap();
    old.as_object_mut().unwrap().remove("timelines").unwrap();
    let record: ClusterRecord = serde_json::from_value(old).unwrap();
    assert_eq!(taken_over(record, "us").timelines.newest, 6);
}
